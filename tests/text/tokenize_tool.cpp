// Prints what the tokenizer of a model folder makes of texts, for the interop tests and for looking by hand:
//
//   qcqa_tokenize MODEL FILE.jsonl                  {"ids": [...], "text": "what decode gives", "framed": [...]} per
//                                                   document; framed: with what the tokenizer puts around a text
//   qcqa_tokenize MODEL FILE.jsonl --sentencepiece  the same by the rules of the SentencePiece library
//   qcqa_tokenize MODEL FILE --speed                megabytes per second, of text not seen before and of text seen
//   before

#include <chrono>
#include <cstdio>
#include <iostream>
#include <string_view>

#include <nlohmann/json.hpp>

#include "qcqa/support/error.hpp"
#include "qcqa/text/documents.hpp"
#include "qcqa/text/tokenizer.hpp"

namespace {

void print_ids(const qcqa::Tokenizer& tokenizer, const char* file) {
  qcqa::for_each_document(file, {}, [&](qcqa::Document&& document) {
    const std::vector<qcqa::TokenId> ids = tokenizer.encode(document.text);
    std::vector<qcqa::TokenId> framed = tokenizer.special().frame.before;
    framed.insert(framed.end(), ids.begin(), ids.end());
    for (const qcqa::TokenId id : tokenizer.special().frame.after) framed.push_back(id);
    std::cout << nlohmann::json{{"ids", ids}, {"text", tokenizer.decode(ids)}, {"framed", framed}}.dump() << '\n';
    return true;
  });
}

void print_speed(const qcqa::Tokenizer& tokenizer, const char* file) {
  for (const char* state : {"first time", "again"}) {
    std::size_t bytes = 0, ids = 0;
    double seconds = 0;
    qcqa::for_each_document(file, {}, [&](qcqa::Document&& document) {
      const auto begin = std::chrono::steady_clock::now();
      ids += tokenizer.encode(document.text).size();
      seconds += std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
      bytes += document.text.size();
      return true;
    });
    std::printf("%s: %zu bytes, %zu ids, %.2f MB/s\n", state, bytes, ids, static_cast<double>(bytes) / 1e6 / seconds);
  }
}

}  // namespace

int main(int count, char** arguments) {
  if (count < 3 || count > 4) {
    std::fprintf(stderr, "usage: qcqa_tokenize MODEL FILE [--speed | --sentencepiece]\n");
    return 2;
  }
  try {
    const std::string_view option = count == 4 ? arguments[3] : "";
    const qcqa::Tokenizer tokenizer =
        qcqa::Tokenizer::open(arguments[1], option == "--sentencepiece" ? qcqa::TokenizerKind::sentencepiece
                                                                        : qcqa::TokenizerKind::transformers);
    if (option == "--speed") {
      print_speed(tokenizer, arguments[2]);
    } else {
      print_ids(tokenizer, arguments[2]);
    }
  } catch (const std::exception& error) {
    std::fprintf(stderr, "qcqa_tokenize: error: %s\n", error.what());
    return 2;
  }
}
