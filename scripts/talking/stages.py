"""The stages that every video goes through."""

# Each stage's file below results/, in the order of the work; a stage's name is its folder of logs and benchmarks.
STAGES = {
    "ingest": "media/{video}.json",
    "shots": "shots/{video}.parquet",
    "faces": "faces/{video}.parquet",
    "tracks": "tracks/{video}.parquet",
    "landmarks": "landmarks/{video}.npz",
    "embeddings": "embeddings/{video}.npz",
    "voice": "voice/{video}.parquet",
    "asd": "asd/{video}.parquet",
    "diarize": "speech/{video}.rttm",
    "speaking": "speaking/{video}.parquet",
    "transcribe": "speech/{video}.transcript.parquet",
    "attribute_words": "speech/{video}.words.parquet",
    "candidates": "candidates/{video}.parquet",
    "poses": "poses/{video}.npz",
    "inspections": "inspections/{video}.parquet",
    "clips": "clips/{video}.parquet",
    "sound": "sound/{video}.npz",
    "annotations": "annotations/{video}.parquet",
}
