# What a cluster would be told: read back and looked at.
python3 - "$ROOT/examples/kubernetes/workers.yaml" <<'CHECK'
import sys
import yaml

job = yaml.safe_load(open(sys.argv[1]))
spec, pod = job["spec"], job["spec"]["template"]["spec"]
assert (job["apiVersion"], job["kind"]) == ("batch/v1", "Job")
assert spec["completionMode"] == "Indexed" and spec["completions"] == spec["parallelism"]
assert pod["restartPolicy"] == "Never"  # as a podFailurePolicy demands
assert pod["terminationGracePeriodSeconds"] > 30
volumes = {v["name"]: v for v in pod["volumes"]}
assert volumes["secret"]["secret"]["defaultMode"] == 0o400
rules = {r["action"]: [] for r in spec["podFailurePolicy"]["rules"]}
names = [c["name"] for c in pod["containers"]]
for rule in spec["podFailurePolicy"]["rules"]:
    codes = rule.get("onExitCodes", {})
    assert ("onExitCodes" in rule) != ("onPodConditions" in rule)
    assert not codes or (codes["containerName"] in names and 0 not in codes["values"])
    rules[rule["action"]] += codes.get("values", [])
print("again:", *rules["Ignore"])
print("never:", *rules["FailJob"])
for c in pod["containers"] + pod["initContainers"]:
    assert all(m["name"] in volumes for m in c["volumeMounts"])
    assert not any("password" in str(e.get("value", "")).lower() for e in c.get("env", []))
worker = pod["containers"][0]
print(*worker["command"])
assert worker["env"][0]["value"] == "/run/drmad/pgpass" == pod["initContainers"][0]["command"][-1]
assert worker["resources"]["limits"] == worker["resources"]["requests"]
CHECK
# The exit status that each rule is about is the command's.
drmad help --markdown | grep -E '^\| (75|2|3|4|5|7) \|' | cut -d '|' -f 2
