#include "model/tensor_names.hpp"

#include <array>
#include <map>
#include <set>
#include <string_view>
#include <unordered_map>

#include "model/completeness.hpp"
#include "model/transposed_view.hpp"
#include "qcqa/support/error.hpp"
#include "support/in_quotes.hpp"

namespace qcqa {
namespace {

/// Wrappers of training tools: at the start of a name (DataParallel, PEFT), or anywhere in it (torch.compile, FSDP).
constexpr std::array<std::string_view, 2> kOuterWrappers = {"module.", "base_model.model."};
constexpr std::array<std::string_view, 3> kInnerWrappers = {"_orig_mod.", "_fsdp_wrapped_module.",
                                                            "_checkpoint_wrapped_module."};

/// In NamePart::here, the prefix of the text model's base class.
constexpr std::string_view kBase = "{base}";

void refuse_adapter(const TensorView& tensor) {
  const bool adapter =
      tensor.name.find(".lora_") != std::string::npos || tensor.name.find(".base_layer.") != std::string::npos;
  if (!adapter) return;
  throw Error(ErrorKind::unsupported, tensor.file.string(), "the weights must be those of a model, all adapters merged",
              "the tensor " + in_quotes(tensor.name) + " of an adapter",
              "Merge it first: model.merge_and_unload(), then save_pretrained.");
}

class Names {
 public:
  Names(const ModelConfig& config, const std::vector<ClassTensor>& tensors)
      : architecture_(config.architecture()), composite_(config.composite()) {
    for (const ClassTensor& tensor : tensors) tensors_.emplace(tensor.name, &tensor);
  }

  [[nodiscard]] const ClassTensor* find(const std::string& name) const {
    const auto it = tensors_.find(name);
    return it == tensors_.end() ? nullptr : it->second;
  }
  [[nodiscard]] bool has(const std::string& name) const { return find(name) != nullptr; }

  std::string canonical(const std::string& stored) {
    if (composite_) return of_text_model(stored);
    std::string name = in_base_class(unwrapped(stored));
    for (const std::string& alias : architecture_.head.aliases) {
      for (const char* suffix : {".weight", ".bias"}) {
        if (name == alias + suffix) return architecture_.head.tensor + suffix;
      }
    }
    return name;
  }

  void add_notes(std::vector<std::string>& notes) const {
    for (const std::string& wrapper : wrappers_)
      notes.push_back("the names of the tensors are read without " + in_quotes(wrapper));
    if (without_base_) {
      notes.push_back("the weights are those of the base class: " + in_quotes(architecture_.base_prefix) +
                      " is put before the names of its tensors");
    }
  }

 private:
  /// The name in a composite's text model; the name as it is of a tensor of another part.
  [[nodiscard]] std::string of_text_model(const std::string& name) const {
    const NamePart* longest = nullptr;
    for (const NamePart& part : composite_->names) {
      if (name.starts_with(part.there) && (!longest || part.there.size() > longest->there.size())) longest = &part;
    }
    if (!longest) return name;
    std::string here = longest->here;
    if (const auto base = here.find(kBase); base != std::string::npos)
      here.replace(base, kBase.size(), architecture_.base_prefix);
    return here + name.substr(longest->there.size());
  }

  std::string unwrapped(std::string name) {
    for (bool again = true; again && !has(name);) {
      again = false;
      for (const std::string_view wrapper : kOuterWrappers) again = again || remove(name, 0, wrapper);
      for (const std::string_view wrapper : kInnerWrappers) {
        if (const auto at = name.find(wrapper); at != std::string::npos) again = remove(name, at, wrapper) || again;
      }
    }
    return name;
  }

  bool remove(std::string& name, std::size_t at, std::string_view wrapper) {
    if (name.compare(at, wrapper.size(), wrapper) != 0) return false;
    name.erase(at, wrapper.size());
    wrappers_.emplace(wrapper);
    return true;
  }

  /// Adds or removes the base class's prefix where that makes a name of the class of it.
  std::string in_base_class(const std::string& name) {
    const std::string& base = architecture_.base_prefix;
    if (has(name)) return name;
    // Names of the layers that are not the class's own belong there as well: buffers of old releases, experts.
    const std::string_view layers = architecture_.layer_stem().substr(base.size());
    if (has(base + name) || name.starts_with(layers)) {
      without_base_ = true;
      return base + name;
    }
    if (name.starts_with(base) && has(name.substr(base.size()))) return name.substr(base.size());
    return name;
  }

  const Architecture& architecture_;
  const Composite* composite_;
  std::unordered_map<std::string, const ClassTensor*> tensors_;
  std::set<std::string, std::less<>> wrappers_;
  bool without_base_ = false;
};

}  // namespace

ClassNames with_class_names(const Checkpoint& checkpoint, const ModelConfig& config,
                            const std::vector<ClassTensor>& tensors, std::vector<std::string>& notes) {
  Names names(config, tensors);
  std::map<std::string, std::string> stored_by_name;  // the class's name -> the file's
  std::vector<std::string> left_out;
  for (const TensorView& tensor : checkpoint.tensors()) {
    refuse_adapter(tensor);
    const std::string name = names.canonical(tensor.name);
    const ClassTensor* known = names.find(name);
    if (known && known->use == ClassTensor::Use::left_out) {
      left_out.push_back(tensor.name);
    } else if (const auto [it, fresh] = stored_by_name.emplace(name, tensor.name); !fresh) {
      throw Error(ErrorKind::corrupt, checkpoint.path().string(), "one tensor must stand for " + in_quotes(name),
                  in_quotes(it->second) + " and " + in_quotes(tensor.name));
    }
  }
  names.add_notes(notes);
  if (const Composite* composite = config.composite()) {
    notes.push_back("the text model of a " + composite->family + "; its other parts are carried along as they are");
  }
  if (!left_out.empty()) {
    notes.push_back(std::to_string(left_out.size()) + " stored bias(es) left out, as transformers does, since " +
                    config.architecture().model_class + " has none there by config.json: " + some_of(left_out));
  }
  const std::string head = config.architecture().head.tensor + ".weight";
  const std::string embedding = config.architecture().embedding + ".weight";
  if (config.value(config.architecture().head.tied) && stored_by_name.contains(head) &&
      !stored_by_name.contains(embedding)) {
    auto node = stored_by_name.extract(head);
    node.key() = embedding;
    stored_by_name.insert(std::move(node));
    notes.push_back("the embedding is stored as " + in_quotes(head) + ", to which config.json ties it");
  }
  std::vector<TensorView> views;
  for (const auto& [name, stored] : stored_by_name) {
    const TensorView& view = checkpoint.at(stored);
    const ClassTensor* known = names.find(name);
    views.push_back(known && known->transposed && view.shape.size() == 2 ? transposed_view(view) : view);
    views.back().name = name;
  }
  ClassNames result{.checkpoint = checkpoint.seen_as(std::move(views)), .left_out = std::move(left_out)};
  if (config.composite()) result.written = std::move(stored_by_name);
  return result;
}

}  // namespace qcqa
