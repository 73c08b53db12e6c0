"""Holds manifests (YAML on standard input) against Kubernetes' own schemas, in which no field is unknown. Prints what is wrong,
a line each; kinds that Kubernetes does not have are passed over."""

import sys

import kubernetes_validate
import yaml

for manifest in yaml.safe_load_all(sys.stdin):
    if manifest is None:
        continue
    name = f"{manifest['kind']} {manifest['metadata']['name']}"
    try:
        kubernetes_validate.validate(manifest, sys.argv[1], strict=True)
        print(f"valid {name}")
    except kubernetes_validate.SchemaNotFoundError:
        print(f"foreign {name}")
    except kubernetes_validate.ValidationError as error:
        print(f"wrong {name}: {'.'.join(map(str, error.path))}: {error.message}")
