#include "forward/rotary.hpp"

#include <ATen/ATen.h>

#include <limits>

#include "qcqa/support/error.hpp"

namespace qcqa {
namespace {

at::Tensor angles(const std::vector<float>& frequencies, std::int64_t length) {
  const at::Tensor positions = at::arange(length, at::TensorOptions().dtype(at::kFloat)).unsqueeze(1);
  return positions * at::tensor(at::ArrayRef<float>(frequencies)).unsqueeze(0);
}

}  // namespace

RotaryTable::RotaryTable(const RotarySpec& spec, std::int64_t length, const Runtime& runtime)
    : length_(length), switch_length_(std::numeric_limits<std::int64_t>::max()), neighbours_(spec.neighbours) {
  if (spec.kind == RotarySpec::Kind::dynamic && length > spec.switch_length) {
    throw Error(ErrorKind::unsupported, "--context",
                "a model with dynamic rotary scaling can be evaluated up to the length it was trained for, " +
                    std::to_string(spec.switch_length),
                std::to_string(length));
  }
  const auto add = [&](const std::vector<float>& frequencies, double magnitude) {
    const at::Tensor all = angles(frequencies, length);
    const auto join = [&](const at::Tensor& before, const at::Tensor& rows) {
      const at::Tensor scaled = (rows * magnitude).to(runtime.options());
      return before.defined() ? at::cat({before, scaled}) : scaled;
    };
    cosines_ = join(cosines_, at::cos(all));
    sines_ = join(sines_, at::sin(all));
  };
  add(spec.frequencies, spec.magnitude);
  if (spec.kind == RotarySpec::Kind::longrope) {
    switch_length_ = spec.switch_length;
    add(spec.long_frequencies, spec.long_magnitude);
  }
  if (spec.query_growth != 0) {
    const at::Tensor positions = at::arange(length, at::TensorOptions().dtype(at::kFloat)).unsqueeze(1);
    query_scales_ = (at::log1p(at::floor(positions / spec.query_period)) * spec.query_growth + 1).to(runtime.options());
  }
}

RotaryTable::Rows RotaryTable::rows(const std::vector<std::int64_t>& positions,
                                    const std::vector<std::int64_t>& sequence_lengths) const {
  const auto of = [](const at::Tensor& table, const std::vector<std::int64_t>& index) {
    return table.index_select(0, at::tensor(at::ArrayRef<std::int64_t>(index)).to(table.device()));
  };
  std::vector<std::int64_t> index(positions);
  for (std::size_t i = 0; i < index.size(); ++i) {
    if (sequence_lengths[i] > switch_length_) index[i] += length_;
  }
  return {of(cosines_, index), of(sines_, index), neighbours_,
          query_scales_.defined() ? of(query_scales_, positions) : at::Tensor()};
}

RotaryTables::RotaryTables(const RotarySpecs& specs, std::int64_t length, const Runtime& runtime) {
  for (std::size_t i = 0; i < specs.size(); ++i) {
    if (specs[i]) tables_[i].emplace(*specs[i], length, runtime);
  }
}

RotaryRows RotaryTables::rows(const std::vector<std::int64_t>& positions,
                              const std::vector<std::int64_t>& sequence_lengths) const {
  RotaryRows rows;
  for (std::size_t i = 0; i < tables_.size(); ++i) {
    if (tables_[i]) rows[i] = tables_[i]->rows(positions, sequence_lengths);
  }
  return rows;
}

at::Tensor apply_rotary(const at::Tensor& heads, const RotaryTable::Rows& table) {
  if (!table.cosines.defined()) return heads;
  const std::int64_t half = table.cosines.size(1);
  const at::Tensor a = table.neighbours ? heads.slice(2, 0, 2 * half, 2) : heads.narrow(2, 0, half);
  const at::Tensor b = table.neighbours ? heads.slice(2, 1, 2 * half, 2) : heads.narrow(2, half, half);
  const at::Tensor cosines = table.cosines.unsqueeze(1);
  const at::Tensor sines = table.sines.unsqueeze(1);
  std::vector<at::Tensor> parts = {at::addcmul(a * cosines, b, sines, -1), at::addcmul(b * cosines, a, sines)};
  if (table.neighbours) parts = {at::stack(parts, 3).flatten(2)};
  if (heads.size(2) > 2 * half) parts.push_back(heads.narrow(2, 2 * half, heads.size(2) - 2 * half));
  return at::cat(parts, 2);
}

}  // namespace qcqa
