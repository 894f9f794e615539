"""A run on a SLURM cluster, without one."""

from talking.runs import slurm


def test_the_partitions_of_a_site_are_those_of_the_first_folder_that_has_them(tmp_path, monkeypatch):
    folders = [tmp_path / name for name in ("run", "typed in", "profile")]
    for folder in folders:
        folder.mkdir()
    assert slurm.partitions_file(folders) is None
    for folder in reversed(folders):
        (folder / "partitions.yaml").write_text("partitions: {cpu: {max_gpu: 0}}\n")
        assert slurm.partitions_file(folders) == folder / "partitions.yaml"
    # Snakemake's processes may change their folder later.
    monkeypatch.chdir(folders[1])
    assert slurm.partitions_file(["."]) == folders[1] / "partitions.yaml"
