"""Several tasks over one encoder as a transformers model: backbone, pooling, fusion, linear layers.

It is what the folder of a network with several heads contains. Plain transformers opens it after
`import transfuse` as a classifier of the first task, and of any other by `task=`.
"""

from typing import Any, cast

import torch
from torch import nn
from transformers import AutoConfig, AutoModelForSequenceClassification, PreTrainedModel
from transformers.modeling_outputs import SequenceClassifierOutput

from transfuse._hub_config import TASKS_MODEL_TYPE, TransfuseTasksConfig
from transfuse.models.anatomy import forward_options, run_backbone
from transfuse.models.backbone import backbone_from_config
from transfuse.models.encoder import Encoded
from transfuse.models.fusion import FUSIONS
from transfuse.models.network import OnlyOne
from transfuse.models.pooling import pool
from transfuse.recipe.methods import build

__all__ = ["TransfuseForTasks"]

_COLUMN = "text"
"""A fusion is given one encoding by column; here there is one, whatever its name."""


class TransfuseForTasks(PreTrainedModel):
    """A backbone, a pooling, perhaps a fusion, and one linear layer for each task.

    Args:
        config: What to build; see `TransfuseTasksConfig`.
    """

    config_class = TransfuseTasksConfig
    base_model_prefix = "backbone"
    _supports_sdpa = True

    def __init__(self, config: TransfuseTasksConfig) -> None:
        super().__init__(config)
        fields = dict(config.backbone_config or {})
        backbone_config = AutoConfig.for_model(fields.pop("model_type"), **fields)
        self.backbone_config = backbone_config
        self.backbone = backbone_from_config(backbone_config, pooler=config.has_pooler)
        width = int(backbone_config.get_text_config(decoder=False).hidden_size)
        names = [task["name"] for task in config.tasks]
        self.fusion: nn.Module = OnlyOne()
        if config.fusion is not None:
            fusion = build(FUSIONS, config.fusion, "fusion").build(width, names, seed=0)
            self.fusion, width = fusion, fusion.dim
        self.classifiers = nn.ModuleDict(
            {task["name"]: nn.Linear(width, len(task["labels"])) for task in config.tasks}
        )
        self.post_init()  # type: ignore[no-untyped-call]

    def forward(
        self,
        input_ids: torch.Tensor,
        attention_mask: torch.Tensor | None = None,
        token_type_ids: torch.Tensor | None = None,
        task: str | None = None,
    ) -> SequenceClassifierOutput:
        """Classifies token ids.

        Args:
            input_ids: Token ids, int64 [n, T].
            attention_mask: 1 for real tokens [n, T], padding on the right. Default: all real.
            token_type_ids: Not used; some tokenizers give them.
            task: Which task to answer. Default: the first.

        Returns:
            Logits [n, outputs] of the task.
        """
        mask = torch.ones_like(input_ids) if attention_mask is None else attention_mask
        output = run_backbone(self.backbone, input_ids, mask, forward_options(self.backbone))
        if self.config.pooling == "pooler":
            pooled = output.pooler_output
        else:
            pooled = pool(output.last_hidden_state, mask, self.config.pooling)
        name = self.config.tasks[0]["name"] if task is None else task
        layer = self.classifiers[name]
        fused: Encoded = self.fusion({_COLUMN: Encoded(pooled)})
        vector = fused.of(name).pooled
        return SequenceClassifierOutput(logits=layer(vector.to(cast(Any, layer).weight.dtype)))

    def get_input_embeddings(self) -> nn.Module:
        """The backbone's token embeddings."""
        return cast(nn.Module, cast(Any, self.backbone).get_input_embeddings())


AutoConfig.register(TASKS_MODEL_TYPE, TransfuseTasksConfig, exist_ok=True)
AutoModelForSequenceClassification.register(TransfuseTasksConfig, TransfuseForTasks, exist_ok=True)
