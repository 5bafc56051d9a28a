"""Checks everything below `deploy/`, the Dockerfile and the compose file, without a cluster and without a container.

Kubernetes manifests: the schema of each, what one names in another, the hardening, and that a kustomization lists each
file. Images and `ROTA_*` variables agree everywhere. hadolint and nats-server read their files; kubectl and docker
compose theirs, on a machine that has them. Exits with 1 after one sentence per fault.
"""  # noqa: INP001 (a script, not a package)

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
import tomllib
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

import kubernetes_validate
import yaml

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).resolve().parent.parent
OLDEST_KUBERNETES = "1.30"
"""The first release whose preStop hook can sleep."""
WORKLOADS = {"Deployment", "StatefulSet", "Job"}
LABELS = {f"app.kubernetes.io/{name}" for name in ("name", "component", "part-of")}
VARIABLE = re.compile(r"\bROTA_[A-Z0-9_]*[A-Z0-9]\b")
REFERENCES = ("configMap", "configMapRef", "configMapKeyRef", "secret", "secretRef", "secretKeyRef")


@dataclass(frozen=True)
class Manifest:
    """One Kubernetes object and the file it stands in."""

    source: str
    body: dict[str, Any]

    def __str__(self) -> str:
        return f"{self.source}: {self.body.get('kind')} {self.body.get('metadata', {}).get('name')}"

    @property
    def pod(self) -> dict[str, Any] | None:
        """The pod template of a workload."""
        template: dict[str, Any] | None = None
        if self.body.get("kind") in WORKLOADS:
            template = self.body["spec"]["template"]
        return template


def read_manifests() -> list[Manifest]:
    """Every object below deploy/ that is not a kustomization."""
    paths = sorted(path for path in ROOT.glob("deploy/**/*.yaml") if path.name != "kustomization.yaml")
    return [
        Manifest(str(path.relative_to(ROOT)), body)
        for path in paths
        for body in yaml.safe_load_all(path.read_text("utf-8"))
    ]


def check_schemas(manifests: list[Manifest]) -> Iterator[str]:
    """Each object against the oldest Kubernetes that is supported and the newest that is known."""
    for manifest in manifests:
        for version in (OLDEST_KUBERNETES, kubernetes_validate.latest_version()):
            try:
                kubernetes_validate.validate(manifest.body, version, strict=True)
            except kubernetes_validate.ValidationError as error:
                where = ".".join(str(part) for part in error.path)
                yield f"{manifest}: {where}: {error.message} (Kubernetes {version})"
            except (kubernetes_validate.SchemaNotFoundError, kubernetes_validate.VersionNotSupportedError) as error:
                yield f"{manifest}: {error.message}"


def check_hardening(manifest: Manifest) -> Iterator[str]:
    """Non-root, read-only, without capabilities or a token; limited and, unless it is a Job, probed."""
    if manifest.pod is None:
        return
    pod = manifest.pod["spec"]
    security = pod.get("securityContext", {})
    if security.get("runAsNonRoot") is not True or security.get("seccompProfile") != {"type": "RuntimeDefault"}:
        yield f"{manifest} must run as non-root with the RuntimeDefault seccomp profile."
    if pod.get("automountServiceAccountToken") is not False:
        yield f"{manifest} must not mount a service account token."
    for container in pod["containers"]:
        name = f"{manifest}, container {container['name']}"
        allowed = container.get("securityContext", {})
        if (
            allowed.get("allowPrivilegeEscalation") is not False
            or allowed.get("readOnlyRootFilesystem") is not True
            or allowed.get("capabilities") != {"drop": ["ALL"]}
        ):
            yield f"{name} must have a read-only root, no capability and no privilege escalation."
        resources = container.get("resources", {})
        for wanted in ("requests", "limits"):
            if not {"cpu", "memory"} <= resources.get(wanted, {}).keys():
                yield f"{name} needs cpu and memory in its resource {wanted}."
        if manifest.body["kind"] != "Job" and not {"readinessProbe", "livenessProbe"} <= container.keys():
            yield f"{name} needs a readiness and a liveness probe."
        mounted = {mount["name"] for mount in container.get("volumeMounts", ())}
        claims = manifest.body["spec"].get("volumeClaimTemplates", ())
        volumes = {volume["name"] for volume in pod.get("volumes", ())} | {
            claim["metadata"]["name"] for claim in claims
        }
        if mounted != volumes:
            yield f"{name} mounts {sorted(mounted)}, but the volumes are {sorted(volumes)}."


def check_labels(manifest: Manifest) -> Iterator[str]:
    """The recommended labels are there, and a workload's selectors choose its own pods."""
    if missing := LABELS - manifest.body["metadata"].get("labels", {}).keys():
        yield f"{manifest} lacks the labels {sorted(missing)}."
    if manifest.pod is not None and "selector" in manifest.body["spec"]:
        spread = [c["labelSelector"] for c in manifest.pod["spec"].get("topologySpreadConstraints", ())]
        for selector in [manifest.body["spec"]["selector"], *spread]:
            if not selector["matchLabels"].items() <= manifest.pod["metadata"]["labels"].items():
                yield f"{manifest} does not select its own pods."


def check_selectors(manifests: list[Manifest]) -> Iterator[str]:
    """A Service or a disruption budget selects one workload, and a Service leads to a port that it opens."""
    pods = [manifest.pod for manifest in manifests if manifest.pod is not None]
    for manifest in manifests:
        if manifest.body["kind"] not in {"Service", "PodDisruptionBudget"}:
            continue
        spec = manifest.body["spec"]
        selector = spec["selector"].get("matchLabels", spec["selector"])
        chosen = [pod for pod in pods if selector.items() <= pod["metadata"]["labels"].items()]
        if len(chosen) != 1:
            yield f"{manifest} selects {len(chosen)} workloads instead of one."
        opened = {port["name"] for pod in chosen for c in pod["spec"]["containers"] for port in c.get("ports", ())}
        if closed := {port["targetPort"] for port in spec.get("ports", ())} - opened:
            yield f"{manifest} leads to the ports {sorted(closed)}, which no container opens."


def check_ingresses(manifests: list[Manifest]) -> Iterator[str]:
    """An Ingress leads to a named port of a Service."""
    services = {m.body["metadata"]["name"]: m.body["spec"]["ports"] for m in manifests if m.body["kind"] == "Service"}
    for manifest in manifests:
        rules = manifest.body["spec"]["rules"] if manifest.body["kind"] == "Ingress" else ()
        for path in chain.from_iterable(rule["http"]["paths"] for rule in rules):
            backend = path["backend"]["service"]
            if backend["port"]["name"] not in {port["name"] for port in services.get(backend["name"], ())}:
                yield f"{manifest} leads to {backend['name']}, which has no such port."


def check_kustomizations(manifests: list[Manifest]) -> Iterator[str]:
    """What a kustomization lists exists, and every manifest is listed."""
    listed: set[Path] = set()
    for path, body in _kustomizations():
        for entry in [*body.get("resources", ()), *body.get("components", ())]:
            target = (path.parent / entry).resolve()
            listed.add(target)
            if not (target.is_file() or (target / "kustomization.yaml").is_file()):
                yield f"{path.relative_to(ROOT)} lists {entry}, which is no manifest and no kustomization."
    for source in sorted({manifest.source for manifest in manifests}):
        if ROOT / source not in listed:
            yield f"{source} is in no kustomization."


def check_generators(manifests: list[Manifest]) -> Iterator[str]:
    """Every config map and secret that a pod reads is generated, with the keys it reads, from files that exist."""
    generated: dict[str, set[str]] = {}
    for path, body in _kustomizations():
        for generator in [*body.get("configMapGenerator", ()), *body.get("secretGenerator", ())]:
            files = [*generator.get("files", ()), *generator.get("envs", ())]
            generated.setdefault(generator["name"], set()).update(entry.split("=")[0] for entry in files)
            for name in (entry.split("=")[-1] for entry in files):
                # The secrets of a deployment are made where it is deployed.
                if not name.startswith("secrets/") and not (path.parent / name).is_file():
                    yield f"{path.relative_to(ROOT)} reads {name}, which does not exist."
    for manifest in manifests:
        for name, keys in _references(manifest.body):
            if name not in generated:
                yield f"{manifest} reads {name}, which no kustomization generates."
            elif missing := keys - generated[name]:
                yield f"{manifest} reads {sorted(missing)} from {name}, which has no such keys."


def _kustomizations() -> Iterator[tuple[Path, dict[str, Any]]]:
    for path in sorted(ROOT.glob("deploy/**/kustomization.yaml")):
        yield path, yaml.safe_load(path.read_text("utf-8"))


def _references(value: Any) -> Iterator[tuple[str, set[str]]]:
    """The config maps and secrets that an object reads, wherever in it, and the keys it takes from each."""
    if isinstance(value, dict):
        for key, inner in value.items():
            if key in REFERENCES and isinstance(inner, dict):
                yield inner.get("name") or inner["secretName"], {item["key"] for item in inner.get("items", ())}
            yield from _references(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _references(inner)


def check_compose(compose: dict[str, Any]) -> Iterator[str]:
    """Every container is hardened, limited and probed, and publishes at most loopback ports."""
    for name, service in compose["services"].items():
        if not (
            service.get("read_only") is True
            and service.get("cap_drop") == ["ALL"]
            and service.get("security_opt") == ["no-new-privileges:true"]
        ):
            yield f"docker-compose.yml: {name} must be read-only, without capabilities and new privileges."
        if not {"cpus", "memory", "pids"} <= service.get("deploy", {}).get("resources", {}).get("limits", {}).keys():
            yield f"docker-compose.yml: {name} needs limits of cpus, memory and pids."
        if "healthcheck" not in service or "restart" not in service:
            yield f"docker-compose.yml: {name} needs a health check and a restart policy."
        if service.get("ports") and name != "gateway" and "profiles" not in service:
            yield f"docker-compose.yml: only the gateway publishes a port, not {name}."
        for port in service.get("ports", ()):
            if not port.startswith(("127.0.0.1:", "${ROTA_HTTP_HOST:-127.0.0.1}:")):
                yield f"docker-compose.yml: {name} publishes {port} beyond this machine by default."
        given = {f"/run/secrets/{secret}" for secret in service.get("secrets", ())}
        environment = service.get("environment", {})
        used = {value for key, value in environment.items() if key.endswith("_FILE")}
        if wrong := (used - given) | {path for path in given - used if not path.endswith("_password")}:
            yield f"docker-compose.yml: {name} is given other secrets than it reads: {sorted(wrong)}."


def check_images(manifests: list[Manifest], compose: dict[str, Any]) -> Iterator[str]:
    """Every image has one fixed tag wherever it is used; ours is the project's version."""
    version = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["version"]
    if f"ARG VERSION={version}\n" not in (ROOT / "Dockerfile").read_text("utf-8"):
        yield f"The Dockerfile's VERSION is not {version}, the project's."
    used = [("docker-compose.yml", service["image"]) for service in compose["services"].values()]
    used += [(m.source, c["image"]) for m in manifests if m.pod is not None for c in m.pod["spec"]["containers"]]
    for path, body in _kustomizations():
        used += [(str(path.relative_to(ROOT)), f"{i['name']}:{i['newTag']}") for i in body.get("images", ())]
    tags = {"rota": (version, "pyproject.toml")}
    for source, image in used:
        name, _, tag = image.partition(":")
        expected, where = tags.setdefault(name, (tag, source))
        if tag in {"", "latest"} or tag != expected:
            yield f"{source} uses {image}, but {where} says {expected or 'no tag'}."


def check_variables() -> Iterator[str]:
    """Every `ROTA_*` variable in use stands in .env.example, itself or as the secret that its `_FILE` form carries."""
    listed = set(re.findall(r"^# (ROTA_[A-Z0-9_]+)=", (ROOT / ".env.example").read_text("utf-8"), re.MULTILINE))
    files = [
        ROOT / "Dockerfile",
        ROOT / "docker-compose.yml",
        *ROOT.glob("deploy/**/*.yaml"),
        *ROOT.glob("deploy/**/*.env"),
    ]
    for path in sorted(files):
        for name in sorted(set(VARIABLE.findall(path.read_text("utf-8")))):
            if not {name, name.removesuffix("_FILE")} & listed:
                yield f"{path.relative_to(ROOT)} uses {name}, which .env.example does not list."


def check_with_tools() -> Iterator[str]:
    """Let the tools read their own files; kubectl and docker compose only on a machine that has them."""
    with tempfile.TemporaryDirectory() as scratch:
        copy = Path(scratch)
        shutil.copytree(ROOT / "deploy", copy / "deploy", ignore=shutil.ignore_patterns("secrets"))
        shutil.copy(ROOT / "docker-compose.yml", copy)
        overlays = sorted((copy / "deploy/k8s/overlays").iterdir())
        for folder in (copy / "deploy", *overlays):
            yield from _run(copy, "sh", "deploy/make-secrets.sh", str(folder / "secrets"))
        yield from _run(ROOT, _installed("hadolint"), "--no-color", "Dockerfile")
        yield from _run(ROOT, _installed("nats-server"), "-t", "-c", "deploy/nats/nats-server.conf")
        if kubectl := shutil.which("kubectl"):
            for overlay in overlays:
                yield from _run(copy, kubectl, "kustomize", str(overlay))
        docker = shutil.which("docker")
        if docker and not list(_run(copy, docker, "compose", "version")):
            yield from _run(copy, docker, "compose", "--profile", "dev", "config", "--quiet")


def _installed(tool: str) -> str:
    """A tool of the development requirements, beside this interpreter."""
    return str(Path(sys.executable).parent / tool)


def _run(folder: Path, *command: str) -> Iterator[str]:
    environment = os.environ | {"NATS_USER": "rota", "NATS_PASSWORD": "checked"}
    done = subprocess.run(  # noqa: S603 (our own commands)
        command, cwd=folder, env=environment, capture_output=True, text=True, timeout=60, check=False
    )
    if done.returncode != 0:
        yield f"{' '.join(command)}: {(done.stderr or done.stdout).strip()}"


def main() -> int:
    """Print one line per fault; the exit code says whether there was one."""
    manifests = read_manifests()
    compose = yaml.safe_load((ROOT / "docker-compose.yml").read_text("utf-8"))
    faults = list(check_schemas(manifests))
    if not faults:
        # What follows reads fields that the schema has promised.
        for manifest in manifests:
            faults += chain(check_hardening(manifest), check_labels(manifest))
        faults += chain(check_selectors(manifests), check_ingresses(manifests))
        faults += chain(check_kustomizations(manifests), check_generators(manifests))
        faults += check_images(manifests, compose)
    faults += check_compose(compose)
    faults += check_variables()
    faults += check_with_tools()
    for fault in faults:
        sys.stderr.write(f"{fault}\n")
    if not faults:
        sys.stdout.write(f"deploy: {len(manifests)} manifests and {len(compose['services'])} containers, no fault\n")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
