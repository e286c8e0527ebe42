#include "text/sentencepiece_tokenizer.hpp"

#include <sentencepiece_processor.h>

#include "qcqa/support/error.hpp"
#include "text/json_view.hpp"
#include "text/unicode.hpp"

namespace qcqa {
namespace {

std::optional<TokenId> known(int id) { return id >= 0 ? std::optional<TokenId>(id) : std::nullopt; }

class SentencePiece final : public TextModel {
 public:
  explicit SentencePiece(const std::filesystem::path& file) : where_(file.string()) {
    const std::string bytes = read_text_file(file);
    if (bytes.starts_with("version https://git-lfs")) {
      throw Error(ErrorKind::corrupt, where_, "must be a SentencePiece model", "a git-LFS pointer",
                  "Run `git lfs pull`.");
    }
    if (const auto status = processor_.LoadFromSerializedProto(bytes); !status.ok()) {
      throw Error(ErrorKind::corrupt, where_, "must be a SentencePiece model", status.message(),
                  "Download the file again.");
    }
    if (processor_.GetPieceSize() <= 0) throw Error(ErrorKind::corrupt, where_, "must have pieces");
  }

  std::vector<TokenId> encode(std::string_view text) const override {
    std::vector<int> ids;
    if (const auto status = processor_.Encode(text, &ids); !status.ok()) {
      throw Error(ErrorKind::unsupported, where_, "SentencePiece could not encode the text", status.message());
    }
    return ids;
  }

  std::string decode(std::span<const TokenId> ids) const override {
    std::string text;
    if (const auto status = processor_.Decode(std::vector<int>(ids.begin(), ids.end()), &text); !status.ok()) {
      throw Error(ErrorKind::unsupported, where_, "SentencePiece could not decode the ids", status.message());
    }
    return utf8_lossy(text);
  }

  std::size_t size() const override { return static_cast<std::size_t>(processor_.GetPieceSize()); }

  std::optional<TokenId> find(std::string_view token) const override {
    const int id = processor_.PieceToId(token);  // the unknown token's id for what it does not know
    return processor_.IdToPiece(id) == token ? std::optional<TokenId>(id) : std::nullopt;
  }

  std::optional<TokenId> leading_token() const override { return bos(); }
  std::optional<TokenId> bos() const override { return known(processor_.bos_id()); }
  std::optional<TokenId> eos() const override { return known(processor_.eos_id()); }

 private:
  static_assert(std::is_same_v<TokenId, int>);

  std::string where_;
  sentencepiece::SentencePieceProcessor processor_;
};

}  // namespace

std::unique_ptr<const TextModel> open_sentencepiece(const std::filesystem::path& file) {
  return std::make_unique<const SentencePiece>(file);
}

}  // namespace qcqa
