"""Models: what is trained, each with a state contract, and the operators and mixers inside them."""

from lengthwise.registry import Registry

MODELS: Registry = Registry(
    "model",
    {
        "ldru": "lengthwise.models.tree.ldru:LDRUConfig",
        "nested": "lengthwise.models.tree.nested:NestedConfig",
        "backbone": "lengthwise.models.backbone:BackboneConfig",
        "rwkv": "lengthwise.models.rwkv:RWKVConfig",
        "huggingface": "lengthwise.pretrained:HuggingFaceConfig",
        "regular_gpt": "lengthwise.models.tree.regular_gpt:RegularGPTConfig",
    },
    base="lengthwise.models.base:ModelConfig",
)

MIXERS: Registry = Registry(
    "mixer",
    {
        "elman": "lengthwise.models.mixers.recurrent:ElmanConfig",
        "gru": "lengthwise.models.mixers.recurrent:GRUConfig",
        "lstm": "lengthwise.models.mixers.recurrent:LSTMConfig",
        "mamba1": "lengthwise.models.mixers.mamba1:Mamba1Config",
        "mamba2": "lengthwise.models.mixers.mamba2:Mamba2Config",
        "gla": "lengthwise.models.mixers.gla:GLAConfig",
        "rwkv6": "lengthwise.models.mixers.rwkv6:RWKV6Config",
        "deltanet": "lengthwise.models.mixers.deltanet:DeltaNetConfig",
        "gated_deltanet": "lengthwise.models.mixers.deltanet:GatedDeltaNetConfig",
        "kimi_delta": "lengthwise.models.mixers.kimi_delta:KimiDeltaConfig",
        "s5": "lengthwise.models.mixers.s5:S5Config",
        "sd_ssm": "lengthwise.models.mixers.sd_ssm:SDSSMConfig",
        "slstm": "lengthwise.models.mixers.xlstm:SLSTMConfig",
        "mlstm": "lengthwise.models.mixers.xlstm:MLSTMConfig",
        "attention": "lengthwise.models.mixers.attention:AttentionConfig",
    },
    base="lengthwise.models.mixers.base:MixerConfig",
)

OPERATORS: Registry = Registry(
    "operator",
    {
        "mlp": "lengthwise.models.tree.operators:MLPOperatorConfig",
        "grc": "lengthwise.models.tree.operators:GRCOperatorConfig",
        "gated_sum": "lengthwise.models.tree.operators:GatedSumOperatorConfig",
        "linear": "lengthwise.models.tree.operators:LinearOperatorConfig",
        "sum": "lengthwise.models.tree.operators:SumOperatorConfig",
        "matrix": "lengthwise.models.tree.operators:MatrixOperatorConfig",
        "stochastic": "lengthwise.models.tree.stochastic:StochasticOperatorConfig",
    },
    base="lengthwise.models.tree.operators:OperatorConfig",
)
