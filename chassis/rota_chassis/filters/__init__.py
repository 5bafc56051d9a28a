"""The filter language: one grammar, for lists, saved filters and rules; to SQL or to a predicate in memory.

    filter     = disjunction ;
    disjunction= conjunction { "OR" conjunction } ;           AND binds more closely than OR, as in SQL
    conjunction= unary { "AND" unary } ;
    unary      = { "NOT" | "-" } ( "(" disjunction ")" | restriction ) ;
    restriction= field ( "=" | "!=" | "<" | "<=" | ">" | ">=" | ":" ) value
               | field "IN" "(" value { "," value } ")"
               | field "IS" [ "NOT" ] "NULL"
               | field "(" value ")" ;                        for ids and names: blocked_by(<id>)

It is modelled on AIP-160. The logic has two values, so that SQL and memory agree: a comparison with a field that is
not set is false, `!=` included, and NOT of it is true. A field with many values (labels, assignees) is never unset;
`=`, `:` and IN ask whether it holds the value, `!=` whether it does not, `= null` whether it is empty. `:` on text asks
whether it contains the value, whatever the case of ASCII letters. Text compares by code points. For an instant a day
(`2026-11-21`, `today`, `tomorrow+1w`) is all of it, in the zone of whoever asks: `=` is on it, `<=` until its end, `>`
after that.
"""
