"""Files of TF Serving, and model cards."""

import sys

import numpy as np
import pytest
import tensorflow as tf

from tfrender.export import card, saved_model, serving


def test_the_configuration_names_versions_and_labels():
    text = serving.models_config(
        "rendernet", "/models/rendernet", [1, 2], {"stable": 1, "canary": 2}
    )
    assert 'name: "rendernet"' in text
    assert "specific { versions: 1 versions: 2 }" in text
    assert 'version_labels { key: "canary" value: 2 }' in text
    assert text.count("{") == text.count("}")
    assert "model_version_policy" not in serving.models_config("a", "/models/a")


def test_a_label_of_no_version_and_a_broken_name_are_refused():
    with pytest.raises(ValueError, match="'stable'.*got 3"):
        serving.models_config("a", "/models/a", [1, 2], {"stable": 3})
    with pytest.raises(ValueError, match="`name`"):
        serving.models_config('a"', "/models/a")


class TestWarmup:
    @pytest.fixture(scope="class")
    def folder(self, tmp_path_factory):
        module = tf.Module()
        spec = tf.TensorSpec([None, 2], tf.float32, name="x")
        module.serve = tf.function(lambda x: {"y": 2 * x}, input_signature=[spec])
        return saved_model.write_saved_model(
            str(tmp_path_factory.mktemp("model")),
            module,
            {"serving_default": module.serve.get_concrete_function()},
            numbered=True,
        )

    def test_without_the_protos_the_package_to_install_is_named(
        self, folder, monkeypatch
    ):
        monkeypatch.setitem(sys.modules, "tensorflow_serving.apis", None)
        with pytest.raises(ImportError, match="tensorflow-serving-api"):
            serving.write_warmup(folder, "double", [{"x": np.zeros([1, 2])}])

    def test_requests_are_stored_where_the_server_looks(self, folder):
        from tensorflow_serving.apis import prediction_log_pb2

        requests = [{"x": np.zeros([batch, 2])} for batch in (1, 4)]
        path = serving.write_warmup(folder, "double", requests)
        assert path.endswith("1/assets.extra/tf_serving_warmup_requests")
        logs = [
            prediction_log_pb2.PredictionLog.FromString(record.numpy())
            for record in tf.data.TFRecordDataset(path)
        ]
        shapes = [
            tf.make_ndarray(log.predict_log.request.inputs["x"]).shape for log in logs
        ]
        assert shapes == [(1, 2), (4, 2)]
        from google.protobuf import text_format
        from tensorflow_serving.config import model_server_config_pb2

        text = serving.models_config("double", "/models/double", [1], {"stable": 1})
        parsed = text_format.Parse(text, model_server_config_pb2.ModelServerConfig())
        assert parsed.model_config_list.config[0].version_labels["stable"] == 1
        with pytest.raises(ValueError, match=r"\['x'\]"):
            serving.write_warmup(folder, "double", [{"z": np.zeros([1, 2])}])


class TestCard:
    def test_text_pairs_and_tables_become_markdown(self, tmp_path):
        path = tmp_path / "model_card.md"
        table = [{"file": "a.tflite", "psnr": 41.23456}, {"file": "b|c", "psnr": 1.0}]
        sections = {
            "What": "A net.\n",
            "Metrics": {"psnr": 20.0},
            "Lite": table,
            "No": "",
        }
        card.write_card(str(path), "Net", sections)
        assert path.read_text() == (
            "# Net\n\n## What\n\nA net.\n\n## Metrics\n\n|  |  |\n| --- | --- |\n"
            "| `psnr` | 20 |\n\n## Lite\n\n| file | psnr |\n| --- | --- |\n"
            "| a.tflite | 41.235 |\n| b\\|c | 1 |\n"
        )
        assert len(list(tmp_path.iterdir())) == 1

    def test_rows_of_a_table_must_agree(self):
        with pytest.raises(ValueError, match=r"'Lite'.*\['a'\].*\['b'\]"):
            card.render_card("Net", {"Lite": [{"a": 1}, {"b": 2}]})

    def test_versions_name_what_computed_the_model(self):
        assert card.versions()["tensorflow"] == tf.__version__
