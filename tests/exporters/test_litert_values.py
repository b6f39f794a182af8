import numpy as np

from dense_tflite import dense
from galenic.exporters.litert_values import litert_values


def test_every_tensor_of_each_row_by_name_and_nothing_is_said(capfd):
    rows = np.array([[1.0, 2.0, 3.0], [0.0, 0.0, 0.0]], np.float32)
    found = litert_values(dense(), rows)
    # 1 - 4 + 1.5 + 0.5 = -1 and 0.25 + 6 - 3 - 0.5 = 2.75; the biases alone for zeros
    assert found.keys() == {"input", "logits"}
    assert found["input"].tolist() == [1.0, 2.0, 3.0, 0.0, 0.0, 0.0]
    np.testing.assert_allclose(found["logits"], [-1.0, 2.75, 0.5, -0.5], atol=1e-6)
    assert capfd.readouterr() == ("", "")
