import pytest
import yaml

from conftest import REPO
from talking.core.errors import InputError
from talking.runs import documentation
from talking.runs.settings import checked_config

SCHEMA = REPO / "workflow/schemas/config.schema.yaml"


def test_the_default_config_is_valid_and_filled_with_defaults():
    config = checked_config(yaml.safe_load((REPO / "config/config.yaml").read_text()), SCHEMA)
    for name, module in documentation.SECTIONS.items():
        assert set(config[name]) == set(documentation.settings_schema(documentation.settings_of(module))["properties"])


def test_the_schema_and_the_manual_say_what_the_code_says():
    schema = documentation.config_schema()
    assert yaml.safe_load(SCHEMA.read_text()) == yaml.safe_load(yaml.safe_dump(schema))
    manual = (REPO / "config/README.md").read_text()
    assert documentation.manual(manual, schema) == manual


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ({"shoots": {}}, "no key 'shoots' (did you mean 'shots'?)"),
        ({"strict": "perhaps"}, "strict must be true or false, not 'perhaps'"),
        ({"faces": {"model": "magic"}}, "faces.model must be one of"),
        ({"films": {"demo": {"seconds": "long"}}}, "films.demo.seconds must be a number"),
        ({"films": {"demo": {"people": 5}}}, "films.demo.people: 5 is greater than the maximum of 4"),
        ({"films": {"demo": {"hard": ["juggle"]}}}, "films.demo.hard.0 must be one of mimic"),
        ({"films": {"demo": {"shots": ["1,2:long"]}}}, "films.demo.shots.0 is '1,2:long'"),
        ({"films": {"demo": {"shots": ["1,2:3:medium:cross,juggle"]}}}, "films.demo.shots.0 is"),
        ({"gates": "big"}, "gates must be a group of keys, not 'big'"),
        ({"gates": {"min_area_ratio": "big"}}, "gates.min_area_ratio must be a number, not 'big'"),
        ({"gates": {"min_area_ratio": "["}}, "gates.min_area_ratio must be a number, not '['"),
        ({"gates": {"min_area_ratio": None}}, "gates.min_area_ratio must be a number, not None"),
        (
            {"gates": {"min_num_people": "3", "max_num_people": "2"}},
            "gates.min_num_people is 3, above gates.max_num_people, 2",
        ),
        ({"gates": {"min_duration_s": 2}}, "gates.min_duration_s is 2, but clips.min_measured_s, 3.0,"),
        ({"gates": {"max_num_people": 9}}, "gates.max_num_people is 9, but clips.max_measured_people, 6,"),
        ({"speaking": {"model": "light_asd"}}, "speaking.model is light_asd, but speaking.weights is empty"),
        ({"words": {"aligner": "wav2vec2"}}, "words.aligner is wav2vec2, but words.aligner_weights is empty"),
        ({"sound": {"overlap": "convtasnet"}}, "sound.overlap is convtasnet, but sound.overlap_weights is empty"),
        (
            {"sound": {"overlap": "convtasnet", "overlap_weights": "w"}},
            "sound.overlap is convtasnet, but sound.sound_mode is mixed",
        ),
        ({"gpu": -1}, "gpu:"),
    ],
)
def test_a_fault_of_the_config_is_one_plain_sentence(config, said):
    with pytest.raises(InputError) as error:
        checked_config(config, SCHEMA)
    assert said in str(error.value) and "\n" not in str(error.value)


def test_text_from_the_command_line_is_read_as_what_the_key_wants():
    films = {"demo": {"people": "2", "fps": "30", "shots": ["1,2:5"]}}
    config = checked_config({"strict": "true", "gates": {"min_area_ratio": "0.2"}, "films": films}, SCHEMA)
    assert config["strict"] is True and config["gates"]["min_area_ratio"] == 0.2
    assert config["films"]["demo"]["people"] == 2 and config["films"]["demo"]["fps"] == "30"


def test_every_key_of_the_config_is_a_flag_of_the_command_that_reads_it():
    rules = "".join(p.read_text() for p in (REPO / "workflow/rules").glob("*.smk"))
    for name in documentation.SECTIONS:
        used = {f'flags("{name}")', f'config["{name}"]'}
        assert any(u in rules for u in used), f"no rule passes the section {name} on"
