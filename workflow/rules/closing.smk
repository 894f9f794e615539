import subprocess

import yaml


def make_report():
    """Make results/report.html once the figures of the report are there."""
    if not Path("results/report/clips.html").exists():
        return
    Path("results/config.yaml").write_text(yaml.safe_dump(config, sort_keys=False))
    subprocess.run(
        [sys.executable, "-m", "snakemake", "all", "--snakefile", workflow.main_snakefile, "--quiet", "all"]
        + ["--report", "results/report.html", "--workflow-profile", "none", "--configfile", "results/config.yaml"],
        check=True,
    )


def close_run():
    """Tell the user what there is, which videos could not be read and what to do next."""
    subprocess.run([sys.executable, f"{SCRIPTS}/summarise_run.py", "--results", "results", "--sheet", SHEET], check=True)


rule strict_check:
    """Checking that every video could be read (strict)."""
    input:
        probes=of_videos("results/media/{video}.json"),
    output:
        ok="results/strict.ok",
    log:
        "results/logs/strict.log",
    benchmark:
        "results/benchmarks/strict.tsv"
    conda:
        "../envs/dataset.yaml"
    params:
        sheet=SHEET,
    threads: 1
    resources:
        mem_mb=500,
        runtime=10,
    shell:
        "python {SCRIPTS}/summarise_run.py --results results --sheet {params.sheet:q} --strict {output.ok} > {log:q} 2>&1"
