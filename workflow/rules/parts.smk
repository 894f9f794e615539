# Parts of long videos: each is a job of the stage's rule, whose job on the whole video joins them. Static, as the number of parts
# follows from the sample sheet and the files before anything runs; Snakemake's scattergather has one number for all videos.


use rule detect_faces as detect_faces_of_part with:
    input:
        *WEIGHT_LIST.below(config["faces"]["weights"]),
        media="results/media/{video}.mp4",
        shots="results/shots/{video}.parquet",
        parts=[],
    output:
        faces=temp("results/parts/faces/{video}.{part}.parquet"),
    log:
        "results/logs/faces/{video}.{part}.log",
    benchmark:
        "results/benchmarks/faces/{video}.{part}.tsv"


use rule track_faces as track_faces_of_part with:
    input:
        *WEIGHT_LIST.below(config["embeddings"]["weights"]),
        media="results/media/{video}.mp4",
        faces="results/faces/{video}.parquet",
        shots="results/shots/{video}.parquet",
        parts=[],
        parts_of_landmarks=[],
    output:
        tracks=temp("results/parts/tracks/{video}.{part}.parquet"),
        landmarks=temp("results/parts/landmarks/{video}.{part}.npz"),
    log:
        "results/logs/tracks/{video}.{part}.log",
    benchmark:
        "results/benchmarks/tracks/{video}.{part}.tsv"


use rule embed_faces as embed_faces_of_part with:
    input:
        *WEIGHT_LIST.below(config["embeddings"]["weights"]),
        tracks="results/tracks/{video}.parquet",
        landmarks="results/landmarks/{video}.npz",
        parts=[],
    output:
        embeddings=temp("results/parts/embeddings/{video}.{part}.npz"),
    log:
        "results/logs/embeddings/{video}.{part}.log",
    benchmark:
        "results/benchmarks/embeddings/{video}.{part}.tsv"


use rule score_asd as score_asd_of_part with:
    input:
        *WEIGHT_LIST.below(config["speaking"]["weights"]),
        media="results/media/{video}.mp4",
        sound="results/media/{video}.wav",
        tracks="results/tracks/{video}.parquet",
        landmarks="results/landmarks/{video}.npz",
        voice="results/voice/{video}.parquet",
        parts=[],
    output:
        asd=temp("results/parts/asd/{video}.{part}.parquet"),
    log:
        "results/logs/asd/{video}.{part}.log",
    benchmark:
        "results/benchmarks/asd/{video}.{part}.tsv"


use rule estimate_poses as estimate_poses_of_part with:
    input:
        *WEIGHT_LIST.below(config["poses"]["sapiens_weights"]),
        media="results/media/{video}.mp4",
        candidates="results/candidates/{video}.parquet",
        tracks="results/tracks/{video}.parquet",
        landmarks="results/landmarks/{video}.npz",
        parts=[],
    output:
        poses=temp("results/parts/poses/{video}.{part}.npz"),
    log:
        "results/logs/poses/{video}.{part}.log",
    benchmark:
        "results/benchmarks/poses/{video}.{part}.tsv"


use rule inspect_clips as inspect_clips_of_part with:
    input:
        media="results/media/{video}.mp4",
        sound="results/media/{video}.wav",
        candidates="results/candidates/{video}.parquet",
        tracks="results/tracks/{video}.parquet",
        poses="results/poses/{video}.npz",
        parts=[],
    output:
        inspections=temp("results/parts/inspections/{video}.{part}.parquet"),
    log:
        "results/logs/inspections/{video}.{part}.log",
    benchmark:
        "results/benchmarks/inspections/{video}.{part}.tsv"
