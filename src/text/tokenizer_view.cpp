#include "text/tokenizer_view.hpp"

#include <string>

#include "qcqa/support/error.hpp"

namespace qcqa {

void unsupported(const JsonView& place, std::string_view what) {
  throw Error(ErrorKind::unsupported, place.where(), std::string(what) + " is not supported", {}, kUseTokenIds);
}

}  // namespace qcqa
