#include "text/tokenizer_files.hpp"

#include <bit>
#include <cstdint>

#include "text/unicode/byte_alphabet.hpp"

namespace qcqa::testing {
namespace {

using Json = nlohmann::json;

std::string byte_piece(unsigned byte) {
  constexpr std::string_view kDigits = "0123456789ABCDEF";
  return std::string("<0x") + kDigits[byte / 16] + kDigits[byte % 16] + ">";
}

Json special_token(int id, const char* content) {
  return {{"id", id},        {"content", content},  {"single_word", false}, {"lstrip", false},
          {"rstrip", false}, {"normalized", false}, {"special", true}};
}

void put_number(std::string& message, std::uint64_t number) {
  for (; number >= 0x80; number >>= 7) message += static_cast<char>(0x80 | (number & 0x7F));
  message += static_cast<char>(number);
}

void put_varint(std::string& message, unsigned field, std::uint64_t number) {
  put_number(message, field * 8);
  put_number(message, number);
}

void put_bytes(std::string& message, unsigned field, const std::string& bytes) {
  put_number(message, field * 8 + 2);
  put_number(message, bytes.size());
  message += bytes;
}

}  // namespace

Json byte_level_json() {
  Json vocabulary = Json::object();
  for (unsigned byte = 0; byte < 256; ++byte)
    vocabulary[byte_alphabet().spelling(static_cast<unsigned char>(byte))] = byte;
  const std::string space = byte_alphabet().spelling(' ');
  vocabulary[space + "t"] = 256;
  vocabulary["he"] = 257;
  vocabulary[space + "the"] = 258;
  vocabulary["ll"] = 259;
  const Json level{{"type", "ByteLevel"}, {"add_prefix_space", false}, {"trim_offsets", true}, {"use_regex", true}};
  return {{"version", "1.0"},
          {"added_tokens", Json::array({special_token(260, "<|end|>")})},
          {"normalizer", nullptr},
          {"pre_tokenizer", level},
          {"post_processor", nullptr},
          {"decoder", level},
          {"model",
           {{"type", "BPE"},
            {"vocab", vocabulary},
            {"merges", Json::array({space + " t", "h e", space + "t he", "l l"})}}}};
}

Json fallback_json() {
  Json vocabulary = Json::object();
  const std::vector<PicoPiece> pieces = fallback_pieces();
  for (std::size_t id = 0; id < pieces.size(); ++id) vocabulary[pieces[id].text] = id;
  const auto step = [](const char* type) { return Json{{"type", type}}; };
  const auto replace = [](const char* what, const char* by) {
    return Json{{"type", "Replace"}, {"pattern", {{"String", what}}}, {"content", by}};
  };
  const Json strip{{"type", "Strip"}, {"content", " "}, {"start", 1}, {"stop", 0}};
  return {{"added_tokens", Json::array({special_token(0, "<unk>"), special_token(1, "<s>"), special_token(2, "</s>")})},
          {"normalizer",
           {{"type", "Sequence"},
            {"normalizers", Json::array({Json{{"type", "Prepend"}, {"prepend", "\u2581"}}, replace(" ", "\u2581")})}}},
          {"pre_tokenizer", nullptr},
          {"post_processor",
           {{"type", "TemplateProcessing"},
            {"single", Json::array({Json{{"SpecialToken", {{"id", "<s>"}, {"type_id", 0}}}},
                                    Json{{"Sequence", {{"id", "A"}, {"type_id", 0}}}}})}}},
          {"decoder",
           {{"type", "Sequence"},
            {"decoders", Json::array({replace("\u2581", " "), step("ByteFallback"), step("Fuse"), strip})}}},
          {"model",
           {{"type", "BPE"},
            {"unk_token", "<unk>"},
            {"fuse_unk", true},
            {"byte_fallback", true},
            {"vocab", vocabulary},
            {"merges",
             Json::array({Json::array({"\u2581", "a"}), Json::array({"a", "b"}), Json::array({"\u2581a", "b"})})}}}};
}

std::vector<PicoPiece> fallback_pieces() {
  std::vector<PicoPiece> pieces{{"<unk>", 0, 2}, {"<s>", 0, 3}, {"</s>", 0, 3}};
  for (unsigned byte = 0; byte < 256; ++byte) pieces.push_back({byte_piece(byte), 0, 6});
  for (const char* text : {"\u2581", "a", "b", "A"}) pieces.push_back({text, -10, 1});
  pieces.push_back({"\u2581a", -1, 1});
  pieces.push_back({"ab", -2, 1});
  pieces.push_back({"\u2581ab", -3, 1});
  return pieces;
}

std::string sentencepiece_bytes(const std::vector<PicoPiece>& pieces, int algorithm, bool byte_fallback) {
  std::string model;
  for (const PicoPiece& piece : pieces) {
    std::string message;
    put_bytes(message, 1, piece.text);
    put_number(message, 2 * 8 + 5);
    const auto bits = std::bit_cast<std::uint32_t>(piece.score);
    for (int shift = 0; shift < 32; shift += 8) message += static_cast<char>(bits >> shift & 0xFF);
    put_varint(message, 3, static_cast<std::uint64_t>(piece.kind));
    put_bytes(model, 1, message);
  }
  std::string trainer, normalizer;
  put_varint(trainer, 3, static_cast<std::uint64_t>(algorithm));
  put_varint(trainer, 35, byte_fallback ? 1 : 0);
  put_varint(normalizer, 4, 0);  // keeps runs of spaces, as Llama 2 does
  put_bytes(model, 2, trainer);
  put_bytes(model, 3, normalizer);
  return model;
}

}  // namespace qcqa::testing
