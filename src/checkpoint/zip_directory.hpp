#pragma once

#include <cstddef>
#include <map>
#include <span>
#include <string>

namespace qcqa {

/// The stored (uncompressed) members of a zip archive, as parts of its bytes. Understands zip64.
/// Checksums are not verified, since that would read every byte.
using ZipDirectory = std::map<std::string, std::span<const std::byte>, std::less<>>;

/// @param where  the archive's path, for error messages
/// @throws Error(corrupt), Error(unsupported) for compressed or encrypted members and archives in
/// several parts
[[nodiscard]] ZipDirectory read_zip_directory(std::span<const std::byte> archive, const std::string& where);

}  // namespace qcqa
