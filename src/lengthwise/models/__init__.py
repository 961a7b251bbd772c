"""What is trained: models with a state contract, and the operators inside them."""

from lengthwise.registry import Registry

MODELS: Registry = Registry(
    "model",
    {
        "ldru": "lengthwise.models.ldru:LDRUConfig",
        "backbone": "lengthwise.models.backbone:BackboneConfig",
        "huggingface": "lengthwise.pretrained:HuggingFaceConfig",
        "regular_gpt": "lengthwise.models.regular_gpt:RegularGPTConfig",
    },
)

MIXERS: Registry = Registry(
    "mixer",
    {
        "elman": "lengthwise.models.recurrent:ElmanConfig",
        "gru": "lengthwise.models.recurrent:GRUConfig",
        "lstm": "lengthwise.models.recurrent:LSTMConfig",
        "mamba1": "lengthwise.models.mamba1:Mamba1Config",
        "mamba2": "lengthwise.models.mamba2:Mamba2Config",
        "gla": "lengthwise.models.gla:GLAConfig",
        "rwkv6": "lengthwise.models.rwkv6:RWKV6Config",
        "deltanet": "lengthwise.models.deltanet:DeltaNetConfig",
        "gated_deltanet": "lengthwise.models.deltanet:GatedDeltaNetConfig",
        "s5": "lengthwise.models.s5:S5Config",
        "sd_ssm": "lengthwise.models.sd_ssm:SDSSMConfig",
        "slstm": "lengthwise.models.xlstm:SLSTMConfig",
        "mlstm": "lengthwise.models.xlstm:MLSTMConfig",
        "attention": "lengthwise.models.attention:AttentionConfig",
    },
)

OPERATORS: Registry = Registry(
    "operator",
    {
        "mlp": "lengthwise.models.operators:MLPOperatorConfig",
        "grc": "lengthwise.models.operators:GRCOperatorConfig",
        "gated_sum": "lengthwise.models.operators:GatedSumOperatorConfig",
        "linear": "lengthwise.models.operators:LinearOperatorConfig",
        "sum": "lengthwise.models.operators:SumOperatorConfig",
        "matrix": "lengthwise.models.operators:MatrixOperatorConfig",
        "stochastic": "lengthwise.models.operators:StochasticOperatorConfig",
    },
)
