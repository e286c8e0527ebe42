#include "checkpoint/pytorch_reader.hpp"
#include "qcqa/support/error.hpp"
namespace qcqa {
std::vector<TensorView> read_pytorch(const MappedFile& file) {
  throw Error(ErrorKind::unsupported, file.path().string(), "not yet");
}
}
