"""A step that is taken for each item of a list.

    item: pending -> running -> succeeded | failed;  succeeded -> compensating -> compensated

The items begin in their order, so many at a time; they are undone from the last, as many at a time. What they are and
what came of them lies in rows of their own: an item that ends costs as much when there are a thousand as when there are
two.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rota_scheduler.expressions import ExpressionError, evaluate
from rota_scheduler.workflows.progress import order_of
from rota_scheduler.workflows.state import GatherItems, Item, KeepItems, KeepOutcome, Part, StepStatus, TakeItem
from rota_scheduler.workflows.steps import MAX_ITEMS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from rota_scheduler.workflows.progress import Progress
    from rota_scheduler.workflows.state import ActionEnded, ItemsGathered, Key, State, Take
    from rota_scheduler.workflows.steps import ForEach, Step


def begin(going: Progress, step: Step, each: ForEach) -> None:
    """Begin the step, or go on with what it has not done when it is retried.

    Raises:
        ExpressionError: there is no list of at most `MAX_ITEMS` to go over.
    """
    if going.of(step.id).items is None:
        values = evaluate(each.over, going.state.variables)
        if not isinstance(values, list):
            raise ExpressionError("A step goes over a list, and for_each yields none.", 0)
        if len(values) > MAX_ITEMS:
            raise ExpressionError(f"A step goes over at most {MAX_ITEMS} items, and these are {len(values)}.", 0)
        going.commands.append(KeepItems(step.id, values))
        going.set(step.id, items=Item.PENDING * len(values))
    going.set(step.id, status=StepStatus.RUNNING)


def proceed(going: Progress, step: Step, each: ForEach) -> None:
    """Begin as many items as may be under way; end the step when none is left."""
    items = going.of(step.id).items or ""
    failed = Item.FAILED in items and not each.goes_on
    if not failed:
        items = _order(going, step, items, each)
        going.set(step.id, items=items)
    if Item.RUNNING in items:
        return
    if failed:
        going.fail(step.id, going.of(step.id).error or "")
    else:
        going.commands.append(GatherItems(step.id))


def ended(going: Progress, step: Step, key: Key, event: ActionEnded) -> None:
    """Note how an item ended, or what undoes it; one that has ended already stays as it is."""
    here, place = going.of(step.id), key.item or 0
    items = here.items or ""
    if key.part is Part.STEP and items[place] == Item.RUNNING:
        error = here.error
        if event.error is not None and error is None and step.for_each is not None and not step.for_each.goes_on:
            error = f"item {place}: {event.error}"
        status = Item.SUCCEEDED if event.error is None else Item.FAILED
        going.set(step.id, items=_put(items, place, status), error=error)
        going.commands.append(KeepOutcome(step.id, place, event.output, event.error))
    elif key.part is Part.COMPENSATE and items[place] == Item.COMPENSATING:
        # One that cannot be undone does not keep the others from it.
        error = here.error if event.error is None or here.error else f"item {place}: {event.error}"
        going.set(step.id, items=_put(items, place, Item.COMPENSATED), error=error)


def gathered(going: Progress, event: ItemsGathered) -> None:
    """End a step whose items have all ended."""
    if going.of(event.step).status is not StepStatus.RUNNING:
        return
    if event.error is None:
        going.succeed(event.step, list(event.outputs))
    else:
        going.fail(event.step, event.error)


def undo(going: Progress, step: Step, each: ForEach) -> None:
    """Undo as many items as may be under way, the last first; end that when none is left."""
    here = going.of(step.id)
    items = _order(going, step, here.items or "", each, undoing=True)
    going.set(step.id, items=items)
    if Item.COMPENSATING not in items:
        broken = StepStatus.CANCELLED if here.error is None else StepStatus.FAILED
        going.end(step.id, StepStatus.COMPENSATED if here.order else broken)


def order_of_item(step: Step, state: State, key: Key, kept: Mapping[str, Any]) -> Take:
    """What is ordered for an item.

    Args:
        step: The step.
        state: Of the run.
        key: Which item, and whether it is undone.
        kept: The `item`, and the `output` that it had.

    Raises:
        ExpressionError: an expression has no value.
    """
    variables = {**state.variables, "item": kept["item"], "index": key.item}
    if key.part is Part.COMPENSATE:
        variables["output"] = kept["output"]
    return order_of(step, key, variables)


def _order(going: Progress, step: Step, items: str, each: ForEach, *, undoing: bool = False) -> str:
    waits, begun = (Item.SUCCEEDED, Item.COMPENSATING) if undoing else (Item.PENDING, Item.RUNNING)
    room = each.max_parallel - items.count(begun)
    while room > 0 and waits in items:
        place = items.rindex(waits) if undoing else items.index(waits)
        items = _put(items, place, begun)
        going.commands.append(TakeItem(str(going.key(step.id, place, Part.COMPENSATE if undoing else Part.STEP))))
        room -= 1
    return items


def _put(items: str, place: int, item: Item) -> str:
    return items[:place] + item + items[place + 1 :]
