#include "checkpoint/tensor_places.hpp"

#include <algorithm>
#include <vector>

#include "qcqa/support/error.hpp"
#include "support/in_quotes.hpp"

namespace qcqa {
namespace {

/// Bytes per request: large enough to stream, small enough that the source's mapped pages can be
/// let go as they go.
constexpr std::uint64_t kChunk = 16u << 20;

}  // namespace

void TensorPlaces::add(const std::string& name, Dtype dtype, const FileHandle& file, std::uint64_t begin,
                       std::uint64_t size) {
  places_.emplace(name, Place{.file = &file, .begin = begin, .size = size, .dtype = dtype});
}

TensorPlaces::Place& TensorPlaces::place_of(std::string_view name) {
  const auto found = places_.find(name);
  if (found == places_.end()) {
    throw Error(ErrorKind::invalid_argument, "tensor " + in_quotes(name), "must be declared before it is written");
  }
  return found->second;
}

void TensorPlaces::write(std::string_view name, std::span<const std::byte> bytes, std::uint64_t offset) {
  Place& target = place_of(name);
  const std::string where = "tensor " + in_quotes(name);
  if (offset != target.written) {
    throw Error(ErrorKind::invalid_argument, where, "parts must come in rising order without gaps",
                "offset " + std::to_string(offset) + " after " + std::to_string(target.written) + " bytes");
  }
  if (bytes.size() > target.size - target.written) {
    throw Error(ErrorKind::invalid_argument, where, "must not be longer than declared",
                std::to_string(offset + bytes.size()) + " bytes instead of " + std::to_string(target.size));
  }
  while (!bytes.empty()) {
    const auto chunk = bytes.first(std::min<std::size_t>(bytes.size(), kChunk));
    const std::uint64_t at = target.begin + target.written;
    target.file->write_at(chunk, at);
    target.file->start_flush(at, chunk.size());
    target.written += chunk.size();
    bytes = bytes.subspan(chunk.size());
  }
}

void TensorPlaces::copy(std::string_view name, const TensorView& source) {
  Place& target = place_of(name);
  const std::string where = "tensor " + in_quotes(name);
  const bool derived = source.derived && source.stored_as != target.dtype;
  const Dtype dtype = derived ? source.dtype : source.stored_as.value_or(source.dtype);
  if (dtype != target.dtype) {
    throw Error(ErrorKind::invalid_argument, where, "a copy must have the declared dtype",
                std::string(dtype_name(dtype)) + " instead of " + std::string(dtype_name(target.dtype)));
  }
  const std::uint64_t element = dtype_bytes(dtype);
  const std::uint64_t size =
      derived ? element * static_cast<std::uint64_t>(source.element_count()) : source.stored.size();
  if (size != target.size) {
    throw Error(ErrorKind::invalid_argument, where, "a copy must have the declared size",
                std::to_string(size) + " bytes instead of " + std::to_string(target.size));
  }
  if (target.written != 0) {
    throw Error(ErrorKind::invalid_argument, where, "must be written once",
                "a copy after " + std::to_string(target.written) + " bytes");
  }
  if (target.size == 0) return;
  if (derived) {
    std::vector<std::byte> piece;
    for (std::uint64_t done = 0; done < size; done += piece.size()) {
      piece.resize(static_cast<std::size_t>(std::min(size - done, kChunk / element * element)));
      source.derived->make(done / element, piece);
      write(name, piece, done);
    }
    return;
  }

  const FileHandle file = FileHandle::open_for_reading(source.file);
  while (target.written < target.size) {
    const std::uint64_t at = target.begin + target.written;
    const std::uint64_t wanted = std::min(target.size - target.written, kChunk);
    const std::uint64_t copied = target.file->copy_from(file, source.file_offset + target.written, at, wanted);
    target.file->start_flush(at, copied);
    target.written += copied;
    if (copied < wanted) break;
  }
  while (target.written < target.size) {
    const auto chunk = source.stored.subspan(target.written, std::min(target.size - target.written, kChunk));
    write(name, chunk, target.written);
    Checkpoint::done_with(chunk);
  }
}

void TensorPlaces::require_complete() const {
  for (const auto& [name, place] : places_) {
    if (place.written == place.size) continue;
    throw Error(ErrorKind::internal, "tensor " + in_quotes(name), "every tensor must be written completely",
                std::to_string(place.written) + " of " + std::to_string(place.size) + " bytes");
  }
}

}  // namespace qcqa
