"""@MODEL_CLASS@ whose KV cache keeps one head of each group, written by qcqa.

The heads of a group are equal in this checkpoint, so its class computes equal keys and values for them. Here it computes
as ever, but every layer hands one head of each group to the cache and gets all of them back: the cache is as small as
that of a class with fewer heads, whatever the class, in any attention implementation. Steps of training would make the
heads of a group unequal, so they are refused unless the attention blocks are frozen.
config.json states the groups of each layer (kv_head_groups: a label for each key/value head; null: no heads).

Load it with AutoModelForCausalLM.from_pretrained(folder, trust_remote_code=True). Without that, transformers loads its
own class, which computes the same and caches every copy.
"""

import torch
import transformers


class SharedCache:
    """A cache as one layer sees it. All but the keys and values of this layer is the cache's own."""

    def __init__(self, cache, share):
        self.__dict__.update(_cache=cache, _share=share)

    def __getattr__(self, name):
        if name.startswith("__") or name in ("_cache", "_share"):  # asked for while a copy is being made
            raise AttributeError(name)
        return getattr(self._cache, name)

    def __setattr__(self, name, value):
        setattr(self._cache, name, value)

    def __len__(self):
        return len(self._cache)

    def update(self, keys, values, *args, **kwargs):
        """Of shape (batch, heads, tokens, head_dim)."""
        first, members = self._share.places(keys)
        keys, values = self._cache.update(keys[:, first], values[:, first], *args, **kwargs)
        return keys[:, members], values[:, members]


class ShareCache:
    """What an attention block of these groups does before it is called."""

    def __init__(self, groups):
        self.groups, self.known_places = groups, {}

    def places(self, keys):
        """The heads that are cached, and for every head which of them it is. A class may keep a head once for each of its
        query heads."""
        copies = keys.shape[1] // len(self.groups)
        if (copies, keys.device) not in self.known_places:
            first = [self.groups.index(group) * copies for group in range(max(self.groups) + 1)]
            self.known_places[copies, keys.device] = (
                torch.tensor(first, device=keys.device),
                torch.tensor(self.groups, device=keys.device).repeat_interleave(copies))
        return self.known_places[copies, keys.device]

    def shared(self, argument):
        return SharedCache(argument, self) if isinstance(argument, transformers.Cache) else argument

    def __call__(self, module, args, kwargs):
        if module.training and torch.is_grad_enabled() and any(weight.requires_grad for weight in module.parameters()):
            raise RuntimeError("training would make equal heads of a group unequal: freeze the attention blocks, or train "
                               "a conversion by --layout gqa or remote-code")
        return tuple(map(self.shared, args)), {name: self.shared(argument) for name, argument in kwargs.items()}


class @MODEL_CLASS@(transformers.@MODEL_CLASS@):
    """By the same name, which transformers goes by where it renames the tensors of a checkpoint."""

    @classmethod
    def is_custom_code(cls):
        """It would rename none for a class that is not its own."""
        return False

    def __init__(self, config, *args, **kwargs):
        super().__init__(config, *args, **kwargs)
        for layer, groups in zip(self.base_model.@LAYERS@, config.kv_head_groups, strict=True):
            if groups is not None:
                layer.@ATTENTION@.register_forward_pre_hook(ShareCache(groups), with_kwargs=True)
