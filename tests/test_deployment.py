"""The files for containers: what they start exists, may do no more than it has to, and a misspelt field is noticed."""

from __future__ import annotations

import json
import re
import shlex
from copy import deepcopy
from pathlib import Path
from typing import Any

import jsonschema
import kubernetes_validate
import pyspark
import pytest
import yaml

import slotwise
from job_runs import SETTINGS
from slotwise import config


def documents(path: Path) -> list[dict[str, Any]]:
    return list(yaml.safe_load_all(path.read_text()))


def test_each_service_of_compose_says_whether_it_is_healthy(repository: Path) -> None:
    services = documents(repository / "docker" / "compose.yaml")[0]["services"]
    assert {"namenode", "datanode", "master", "worker-1", "worker-2", "history"} <= services.keys()
    assert [name for name, service in services.items() if not service["healthcheck"]["test"]] == []


def test_the_driver_may_handle_what_is_its_own_and_executors_nothing(repository: Path) -> None:
    found = documents(repository / "docker" / "kubernetes" / "access.yaml")
    kinds = {(each["kind"], each["metadata"]["name"]): each for each in found}
    rules = kinds["Role", "slotwise-driver"]["rules"]
    assert {name for rule in rules for name in rule["resources"]} == {"pods", "configmaps", "services", "persistentvolumeclaims"}
    assert all(rule["apiGroups"] == [""] and "*" not in rule["verbs"] for rule in rules)
    assert [subject["name"] for each in found if each["kind"].endswith("Binding") for subject in each["subjects"]] == ["slotwise-driver"]
    assert kinds["ServiceAccount", "slotwise-executor"]["automountServiceAccountToken"] is False
    assert not any(each["kind"].startswith("Cluster") for each in found)


@pytest.mark.parametrize("role", ["driver", "executor"])
def test_a_misspelt_field_of_a_pod_is_noticed(repository: Path, role: str) -> None:
    (pod,) = documents(repository / "docker" / "kubernetes" / f"{role}-pod.yaml")
    wrong = deepcopy(pod)
    wrong["spec"]["containers"][0]["securityContext"]["allowPrivilegeEscalations"] = False
    kubernetes_validate.validate(pod, "1.37", strict=True)
    with pytest.raises(kubernetes_validate.ValidationError, match="allowPrivilegeEscalations"):
        kubernetes_validate.validate(wrong, "1.37", strict=True)
    assert pod["spec"]["securityContext"]["runAsNonRoot"] is True


def test_the_operators_training_is_one_that_the_job_understands(repository: Path) -> None:
    directory = repository / "docker" / "kubernetes"
    schema = json.loads((directory / "sparkapplication.schema.json").read_text())
    (training,) = documents(directory / "train.yaml")
    spec = training["spec"]
    assert spec["sparkVersion"] == pyspark.__version__
    assert spec["image"].endswith(f":{slotwise.__version__}")
    settings = config.load(SETTINGS["train_distributed"], spec["arguments"])
    assert settings.slots == spec["executor"]["instances"]  # type: ignore[attr-defined]
    accounts = {each["metadata"]["name"] for each in documents(directory / "access.yaml") if each["kind"] == "ServiceAccount"}
    assert {spec["driver"]["serviceAccount"], spec["executor"]["serviceAccount"]} == accounts
    for change in ({"executr": {}}, {"driver": {"memory": "lots"}}, {"mode": "clustr"}):
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate({**training, "spec": {**spec, **change}}, schema)


def test_the_commands_of_the_page_are_accepted_and_name_what_there_is(repository: Path) -> None:
    text = (repository / "docker" / "kubernetes.md").read_text().replace("\\\n", " ")
    jobs = re.findall(r"^submit .*?local:///opt/slotwise/jobs/(\w+)\.py (.*)$", text, re.MULTILINE)
    assert [job for job, _ in jobs] == ["prepare", "train_distributed", "compare"]
    for job, arguments in jobs:
        config.load(SETTINGS[job], shlex.split(arguments.replace("$HDFS", "hdfs://namenode:9000")))
    named = re.findall(r"docker/[\w./-]+", text) + [f"docker/{link}" for link in re.findall(r"\]\(([^)]+)\)", text)]
    assert [name for name in named if not (repository / name).exists()] == []
    assert set(re.findall(r"slotwise:([\d.]+)", text)) == {slotwise.__version__}
