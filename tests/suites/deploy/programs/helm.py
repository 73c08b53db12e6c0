"""Asks Helm's own library: a question as JSON on standard input, an answer as JSON on standard output."""

import json
import sys

import helm_python


def answer(ask, chart, values, kubeconfig=None):
    if ask == "lint":
        return helm_python.lint(chart, values, strict=True, namespace="umbra-system")
    if ask in ("install", "uninstall"):
        cluster = helm_python.Config(kubeconfig_path=kubeconfig, namespace="umbra-system")
        if ask == "uninstall":
            return cluster.uninstall("umbra")
        return cluster.install(chart, "umbra", values, create_namespace=True)
    loaded = helm_python.Chart.load(chart)
    loaded.validate_schema(values)
    return loaded.render(values, name="umbra", namespace="umbra-system")


try:
    told = {"ok": answer(**json.load(sys.stdin))}
except helm_python.HelmError as error:
    told = {"error": str(error)}
json.dump(told, sys.stdout)
