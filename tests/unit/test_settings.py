import pytest
import yaml

from conftest import REPO
from talking import documentation
from talking.errors import InputError
from talking.settings import checked_config

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
        ({"gpu": -1}, "gpu:"),
    ],
)
def test_a_fault_of_the_config_is_one_plain_sentence(config, said):
    with pytest.raises(InputError) as error:
        checked_config(config, SCHEMA)
    assert said in str(error.value) and "\n" not in str(error.value)


def test_every_key_of_the_config_is_a_flag_of_the_command_that_reads_it():
    rules = "".join(p.read_text() for p in (REPO / "workflow/rules").glob("*.smk"))
    for name in documentation.SECTIONS:
        used = {f'flags("{name}")', f'config["{name}"]'}
        assert any(u in rules for u in used), f"no rule passes the section {name} on"
