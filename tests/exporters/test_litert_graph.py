import torch
from torch import nn

from galenic.exporters.litert_graph import with_biases
from galenic.zoo.graph import folded, traced


def test_a_folded_batch_norm_becomes_the_bias_of_its_layer(wrap, rows):
    net = nn.Sequential(
        nn.Conv1d(2, 3, 3, bias=False), nn.BatchNorm1d(3), nn.ReLU(), nn.Conv1d(3, 3, 1), nn.Flatten(), nn.Linear(18, 2)
    )
    model, _ = folded(wrap(net, (2, 8), 2))
    made = with_biases(model, traced(model))
    assert [type(part) for part in made.module][:2] == [nn.Conv1d, nn.Identity]
    torch.testing.assert_close(made.module[0].bias, model.module[1].bias, rtol=0, atol=0)
    assert made.module[3].bias is not model.module[3].bias
    inputs = torch.from_numpy(rows(5, (2, 8)))
    with torch.no_grad():
        torch.testing.assert_close(made.module(inputs), model.module(inputs), atol=1e-6, rtol=1e-5)
    # the model itself stays as it was
    assert model.module[0].bias is None
    assert isinstance(model.module[1], nn.BatchNorm1d)
    assert not any(part.training for part in made.module.modules())
