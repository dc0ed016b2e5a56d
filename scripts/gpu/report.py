"""Puts together what the parts of scripts/gpu-check.sh left: report.json, report.md, and the table on the terminal.

    python3 scripts/gpu/report.py WORK_DIR OUT_DIR [--rehearse]

Needs nothing but Python. Exit status 1 if a part or a check failed.
"""

import json
import subprocess
import sys
from datetime import datetime, timezone
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
# By preset: most milliseconds, then how many times faster than which peer (docs/gpu/README.md says where they come from).
TARGETS = {
    "seed": (0.60, {"PyTorch as written fp16": 10.0, "PyTorch packed": 1.5}),
    "logged": (12.5, {"PyTorch as written fp16": 4.5, "PyTorch compiled": 3.3, "PyTorch packed": 1.1}),
    "prod": (27.0, {"PyTorch as written fp16": 4.5, "PyTorch packed": 1.1}),
}
TITLES = {"seed": "seed, 10.2 M parameters, 16 pairs of 32 residues", "logged": "26.4 M parameters, 32 pairs, real lengths",
          "prod": "67.1 M parameters, 32 pairs, real lengths"}
OURS = "relic-train bf16"
HEADS = ["who", "ms a step", "spread", "pairs/s", f"times that of {OURS}", "useful TFLOP/s", "GiB"]


def told_by(*command) -> str:
    try:
        return subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return ""


def machine(carried):
    smi = told_by("nvidia-smi", "--query-gpu=name,driver_version,memory.total,compute_cap", "--format=csv,noheader").splitlines()
    nvcc = told_by("nvcc", "--version")
    commit = told_by("git", "rev-parse", "HEAD") or (carried.read_text().strip() if carried.exists() else "")
    return {
        "gpu": smi[0] if smi else "none", "gpus": len(smi), "commit": commit,
        "nvcc": nvcc.split("release ")[-1].split(",")[0] if "release " in nvcc else "",
        "torch": told_by(sys.executable, "-c", "import torch; print(torch.__version__)"),
        "date": datetime.now(timezone.utc).strftime("%Y-%m-%d %H:%M UTC"),
    }


def number(value, digits=3):
    return "" if value is None else f"{value:.{digits}g}" if value < 1000 else f"{value:,.0f}"


def table(heads, rows):
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join("| " + " | ".join(str(cell) for cell in line) + " |" for line in lines)


def race(preset, measured, rehearse):
    """The table of one preset and its targets in words; nothing when it was not timed."""
    found = {name.removeprefix(f"{preset}: "): facts for name, facts in measured.items()
             if name.startswith(f"{preset}: ") and ("ms" in facts or "left_out" in facts)}
    if not found:
        return []
    ours = found.get(OURS, {}).get("ms")
    rows = []
    for name, facts in found.items():
        if "left_out" in facts:
            rows.append([name, "left out", facts["left_out"].replace("|", "/").splitlines()[0][:80], "", "", "", ""])
        else:
            ratio = facts["ms"] / ours if ours else None
            rows.append([name, number(facts["ms"], 4), number(facts["spread_ms"], 2), number(facts["pairs_per_s"]),
                         number(ratio), number(facts["useful_tflops"]), number(facts["memory_gib"])])
    lines = ["### A model of toy size" if rehearse else f"### {TITLES[preset]}", table(HEADS, rows)]
    most, ratios = TARGETS[preset]
    if ours and not rehearse:
        verdicts = [f"at most {most} ms: {'met' if ours <= most else 'NOT met'}"]
        for peer, least in ratios.items():
            for name, facts in found.items():
                if name.startswith(peer) and "pinned" not in name and "ms" in facts:
                    verdicts.append(f"at least {least} x {name}: {'met' if facts['ms'] / ours >= least else 'NOT met'}")
        lines.append("Targets: " + "; ".join(verdicts) + ".")
    batches = measured.get(f"{preset}: batches", {})
    if batches:
        lines.append(f"{number(batches['tokens'])} residues a batch on average, {number(batches['tflop'])} TFLOP a step; "
                     f"clock, temperature, power before: "
                     f"{batches['gpu_before']}; after: {batches['gpu_after']}. Engine: {batches['engine']}.")
    return lines


def others(measured):
    lines = []
    kernels = [(name, facts) for name, facts in measured.items() if facts.get("classes")]
    for name, facts in kernels:
        rows = [[label, number(each["ms"]), number(each["kernels"])]
                for label, each in sorted(facts["classes"].items(), key=lambda item: -item[1]["ms"])]
        longest = [[each["name"].replace("|", "/"), number(each["ms"]), number(each["kernels"])] for each in facts["longest"][:10]]
        lines += [f"### {name}", f"{number(facts['kernels'])} kernels and copies, {number(facts['launch_calls'])} calls that launch.",
                  table(["class", "ms a step", "kernels"], rows), table(["kernel", "ms a step", "calls"], longest)]
    rest = [(name, facts) for name, facts in measured.items()
            if "classes" not in facts and "ms" not in facts and "left_out" not in facts and not name.endswith(": batches")]
    if rest:
        facts_of = lambda facts: ", ".join(f"{key} {number(each) if isinstance(each, (int, float)) else each}" for key, each in facts.items())
        lines += ["## Ceilings, products, evaluation", table(["what", "measured"], [[name, facts_of(facts)] for name, facts in rest])]
    return lines


def main() -> int:
    work, out, rehearse = Path(sys.argv[1]), Path(sys.argv[2]), "--rehearse" in sys.argv[3:]
    parts = [dict(zip(("name", "verdict", "seconds", "note"), line.split("\t")))
             for line in (work / "parts" / "parts.tsv").read_text().splitlines()]
    checks, measured = [], {}
    for file in sorted((work / "parts").glob("*.json")):
        found = json.loads(file.read_text())
        checks += [{"part": file.stem, **each} for each in found["checks"]]
        measured |= {each["name"]: {key: value for key, value in each.items() if key != "name"} for each in found["measurements"]}
    here = machine(work.parent / "gpu-carry" / "commit")
    bad = [each for each in checks if not each["ok"]]
    # A part without checks of its own counts as one.
    counted = {each["part"] for each in checks}
    whole = [each for each in parts if each["name"] not in counted and each["verdict"] != "left out"]
    broken = [each for each in parts if each["name"] in counted and each["verdict"] == "FAIL" and
              not any(check["part"] == each["name"] for check in bad)]
    failed = len(bad) + len(broken) + sum(each["verdict"] == "FAIL" for each in whole)
    passed = len(checks) - len(bad) + sum(each["verdict"] == "pass" for each in whole)

    title = "# Rehearsal on the CPU: no figure here says anything about a GPU" if rehearse else f"# GPU check: {here['gpu'].split(',')[0]}"
    lines = [title, f"{here['date']}, commit `{here['commit']}`, `scripts/gpu-check.sh{' --rehearse' if rehearse else ''} OUT_DIR`. "
             f"GPU (name, driver, memory, capability): {here['gpu']}; nvcc {here['nvcc'] or 'not used'}; PyTorch {here['torch'] or 'none'}."]
    rows = []
    for each in parts:
        own = [check for check in checks if check["part"] == each["name"]]
        count = f"{sum(check['ok'] for check in own)} of {len(own)}" if own else ""
        rows.append([each["name"], each["verdict"], each["seconds"], count, each["note"]])
    lines += [f"## Checks: {passed} passed, {failed} failed", table(["part", "verdict", "s", "checks passed", "note"], rows)]
    if bad:
        lines.append("\n".join(f"- FAILED {each['part']}: {each['name']}" for each in bad))
    errors = [(f"{each['name']}", each) for each in checks if each.get("gradients") is not None and each["part"] in ("parity", "checks")
              and each.get("torch") is not None]
    if errors:
        lines += ["Relative distance of all gradients from float64, ours and PyTorch's own in the same precision:",
                  table(["model", "ours", "PyTorch"], [[name, f"{each['gradients']:.1e}", f"{each['torch']:.1e}"] for name, each in errors])]
    races = [line for preset in TARGETS for line in race(preset, measured, rehearse)]
    if races:
        lines += ["## Training steps", *races]
    lines += others(measured)
    text = "\n\n".join(lines) + "\n"
    (out / "report.md").write_text(text)
    (out / "report.json").write_text(json.dumps({"ran": True, "rehearsal": rehearse, **here, "passed": passed, "failed": failed,
                                                 "parts": parts, "checks": checks, "measurements": measured}, indent=1) + "\n")
    print(f"\n{text}\n{passed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
