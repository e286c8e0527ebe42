#include "text/json/decoder.hpp"

#include <array>
#include <optional>
#include <utility>

#include "support/in_quotes.hpp"
#include "text/json/normalizer.hpp"
#include "text/unicode/byte_alphabet.hpp"
#include "text/unicode/unicode.hpp"

namespace qcqa {
namespace {

using Strings = std::vector<std::string>;

std::optional<int> hex_digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return std::nullopt;
}

/// The byte that a token such as "<0x0A>" stands for.
std::optional<char> byte_of(std::string_view token) {
  if (token.size() != 6 || !token.starts_with("<0x") || token.back() != '>') return std::nullopt;
  const auto high = hex_digit(token[3]), low = hex_digit(token[4]);
  if (!high || !low) return std::nullopt;
  return static_cast<char>(*high * 16 + *low);
}

/// Runs of byte tokens become text; when they are not UTF-8, every byte becomes U+FFFD.
Strings decode_byte_tokens(Strings tokens) {
  Strings result;
  std::string bytes;
  const auto flush = [&] {
    if (bytes.empty()) return;
    if (!invalid_utf8_at(bytes)) {
      result.push_back(bytes);
    } else {
      result.insert(result.end(), bytes.size(), std::string(kReplacementCharacter));
    }
    bytes.clear();
  };
  for (std::string& token : tokens) {
    if (const auto byte = byte_of(token)) {
      bytes += *byte;
    } else {
      flush();
      result.push_back(std::move(token));
    }
  }
  flush();
  return result;
}

Strings decode_byte_level(const Strings& tokens) {
  std::string bytes;
  // A token outside the alphabet is an added one, which is spelled plainly.
  for (const std::string& token : tokens) bytes += byte_alphabet().bytes_of(token).value_or(token);
  return {utf8_lossy(bytes)};
}

Strings fuse(const Strings& tokens) {
  std::string all;
  for (const std::string& token : tokens) all += token;
  return {std::move(all)};
}

std::string strip(std::string_view token, std::string_view character, std::int64_t start, std::int64_t stop) {
  for (; start > 0 && token.starts_with(character); --start) token.remove_prefix(character.size());
  for (; stop > 0 && token.ends_with(character); --stop) token.remove_suffix(character.size());
  return std::string(token);
}

Decoder each_token(std::function<std::string(std::string_view)> step) {
  return [step = std::move(step)](Strings tokens) {
    for (std::string& token : tokens) token = step(token);
    return tokens;
  };
}

Decoder decoder_sequence(const JsonView& description) {
  std::vector<Decoder> steps;
  for (const JsonView& step : description.at("decoders").items()) steps.push_back(make_decoder(step));
  return [steps](Strings tokens) {
    for (const Decoder& step : steps) tokens = step(std::move(tokens));
    return tokens;
  };
}

Decoder strip_decoder(const JsonView& description) {
  const std::string character = description.at("content").text();
  if (character.empty()) description.corrupt("content must be one character");
  const auto start = description.at("start").integer(0, INT32_MAX), stop = description.at("stop").integer(0, INT32_MAX);
  return each_token([=](std::string_view token) { return strip(token, character, start, stop); });
}

Decoder metaspace_decoder(const JsonView& description) {
  const std::string replacement = description.at("replacement").text();
  if (replacement.empty()) description.corrupt("replacement must be one character");
  const bool add_prefix_space = description.flag_or("add_prefix_space", true);
  const bool strips_first = description.text_or("prepend_scheme", add_prefix_space ? "always" : "never") != "never";
  return [replacement, strips_first](Strings tokens) {
    for (std::size_t i = 0; i < tokens.size(); ++i) {
      std::string text;
      for (std::size_t at = 0; at < tokens[i].size();) {
        if (tokens[i].compare(at, replacement.size(), replacement) == 0) {
          if (i != 0 || !strips_first) text += ' ';
          at += replacement.size();
        } else {
          text += tokens[i][at++];
        }
      }
      tokens[i] = std::move(text);
    }
    return tokens;
  };
}

/// What BERT's published code takes back after joining words with spaces.
std::string without_spaced_marks(std::string_view token) {
  static const std::array<std::pair<std::string_view, std::string_view>, 11> kRules = {{
      {" .", "."},
      {" ?", "?"},
      {" !", "!"},
      {" ,", ","},
      {" ' ", "'"},
      {" n't", "n't"},
      {" 'm", "'m"},
      {" do not", " don't"},
      {" 's", "'s"},
      {" 've", "'ve"},
      {" 're", "'re"},
  }};
  std::string result(token);
  for (const auto& [what, by] : kRules) {
    for (std::size_t at = 0; (at = result.find(what, at)) != std::string::npos; at += by.size())
      result.replace(at, what.size(), by);
  }
  return result;
}

Decoder word_piece_decoder(const JsonView& description) {
  const std::string prefix = description.text_or("prefix", "##");
  const bool cleanup = description.flag_or("cleanup", true);
  return [prefix, cleanup](Strings tokens) {
    for (std::size_t i = 0; i < tokens.size(); ++i) {
      std::string& token = tokens[i];
      if (i > 0 && token.starts_with(prefix)) {
        token.erase(0, prefix.size());
      } else if (i > 0) {
        token.insert(0, " ");
      }
      if (cleanup) token = without_spaced_marks(token);
    }
    return tokens;
  };
}

/// A suffix marks the end of a word.
Decoder bpe_decoder(const JsonView& description) {
  const std::string suffix = description.text_or("suffix", "</w>");
  if (suffix.empty()) description.corrupt("suffix must not be empty");
  return [suffix](Strings tokens) {
    for (std::size_t i = 0; i < tokens.size(); ++i) {
      const std::string_view by = i + 1 == tokens.size() ? "" : " ";
      for (std::size_t at = 0; (at = tokens[i].find(suffix, at)) != std::string::npos; at += by.size())
        tokens[i].replace(at, suffix.size(), by);
    }
    return tokens;
  };
}

}  // namespace

Decoder make_decoder(const JsonView& description) {
  const std::string type = description.type();
  if (type == "Sequence") return decoder_sequence(description);
  if (type == "ByteLevel") return decode_byte_level;
  if (type == "ByteFallback") return decode_byte_tokens;
  if (type == "Fuse") return fuse;
  if (type == "Replace") return each_token(make_replacement(description));
  if (type == "Strip") return strip_decoder(description);
  if (type == "Metaspace") return metaspace_decoder(description);
  if (type == "WordPiece") return word_piece_decoder(description);
  if (type == "BPEDecoder") return bpe_decoder(description);
  unsupported(description, "decoder " + in_quotes(type));
}

}  // namespace qcqa
