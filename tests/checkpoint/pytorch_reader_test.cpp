#include <gtest/gtest.h>

#include "checkpoint/byte_reader.hpp"
#include "qcqa/checkpoint/checkpoint.hpp"
#include "support/expect_error.hpp"
#include "support/pytorch_bytes.hpp"
#include "support/temporary_folder.hpp"

namespace qcqa {
namespace {

using namespace testing;

Checkpoint open_pytorch(const TemporaryFolder& folder, std::string_view bytes) {
  return Checkpoint::open(folder.write("pytorch_model.bin", bytes));
}

void expect_refused(ErrorKind kind, std::string_view bytes, std::string_view part) {
  const TemporaryFolder folder;
  expect_error(kind, part, [&] { (void)open_pytorch(folder, bytes); });
}

void expect_pickle_refused(ErrorKind kind, std::string_view pickle, std::string_view part) {
  expect_refused(kind, pytorch_bytes(pickle, {"12345678"}), part);
}

/// A state dict of one tensor over a float storage of two elements.
std::string one_tensor(int offset, const std::vector<int>& size, const std::vector<int>& stride) {
  return p_state_dict(p_text("w") + p_tensor(p_storage("FloatStorage", "0", 2), offset, size, stride));
}

TEST(PytorchReader, ReadsTensorsInPlace) {
  const TemporaryFolder folder;
  const std::string pickle = p_state_dict(p_text("b") + p_tensor(p_storage("FloatStorage", "0", 2), 0, {2, 1}, {1, 1}) +
                                          p_text("a") + p_tensor(p_storage("BFloat16Storage", "1", 4), 1, {3}, {1}));
  const std::string bytes = pytorch_bytes(pickle, {"floats!!", "bfloat16"});
  const Checkpoint checkpoint = open_pytorch(folder, bytes);
  EXPECT_EQ(checkpoint.format(), CheckpointFormat::pytorch);
  ASSERT_EQ(checkpoint.tensors().size(), 2u);
  EXPECT_EQ(checkpoint.tensors()[0].name, "a");
  EXPECT_EQ(checkpoint.at("a").dtype, Dtype::bf16);
  EXPECT_EQ(as_text(checkpoint.at("a").stored), "loat16");
  EXPECT_EQ(checkpoint.at("b").shape, (std::vector<std::int64_t>{2, 1}));
  EXPECT_EQ(as_text(checkpoint.at("b").stored), "floats!!");
  EXPECT_EQ(bytes.substr(checkpoint.at("b").file_offset, 8), "floats!!");
}

TEST(PytorchReader, KnowsEveryStorageType) {
  const std::pair<const char*, Dtype> types[] = {{"FloatStorage", Dtype::f32},     {"HalfStorage", Dtype::f16},
                                                 {"BFloat16Storage", Dtype::bf16}, {"DoubleStorage", Dtype::f64},
                                                 {"LongStorage", Dtype::i64},      {"IntStorage", Dtype::i32},
                                                 {"ShortStorage", Dtype::i16},     {"CharStorage", Dtype::i8},
                                                 {"ByteStorage", Dtype::u8},       {"BoolStorage", Dtype::boolean}};
  for (const auto& [name, dtype] : types) {
    const TemporaryFolder folder;
    const std::string pickle = p_state_dict(p_text("w") + p_tensor(p_storage(name, "0", 1), 0, {}, {}));
    EXPECT_EQ(open_pytorch(folder, pytorch_bytes(pickle, {"12345678"})).at("w").dtype, dtype) << name;
  }
}

TEST(PytorchReader, ReadsZip64) {
  const TemporaryFolder folder;
  EXPECT_EQ(as_text(open_pytorch(folder, pytorch_bytes(one_tensor(0, {2}, {1}), {"12345678"}, true)).at("w").stored),
            "12345678");
}

TEST(PytorchReader, LetsTiedTensorsShareAStorage) {
  const TemporaryFolder folder;
  // Memo as torch writes it: the tensor is stored once and recalled.
  const std::string tensor = p_tensor(p_storage("FloatStorage", "0", 2), 0, {2}, {1});
  const Checkpoint checkpoint = open_pytorch(
      folder, pytorch_bytes(p_state_dict(p_text("a") + tensor + "q\x05" + p_text("b") + "h\x05"), {"12345678"}));
  EXPECT_EQ(checkpoint.at("a").stored.data(), checkpoint.at("b").stored.data());
}

TEST(PytorchReader, ReadsParametersPlainDictsAndAttributes) {
  const TemporaryFolder folder;
  const std::string tensor = p_tensor(p_storage("FloatStorage", "0", 2), 0, {2}, {1});
  const std::string parameter =
      p_global("torch._utils", "_rebuild_parameter") + "(" + tensor + "\x88" + p_ordered_dict() + "tR";
  const std::string attributes = "}" + p_text("_metadata") + p_ordered_dict() + "sb";
  EXPECT_EQ(
      open_pytorch(folder, pytorch_bytes("\x80\x02}" + p_text("w") + parameter + "s.", {"12345678"})).tensors().size(),
      1u);
  EXPECT_EQ(
      open_pytorch(folder, pytorch_bytes("\x80\x02" + p_ordered_dict() + p_text("w") + tensor + "s" + attributes + ".",
                                         {"12345678"}))
          .tensors()
          .size(),
      1u);
}

TEST(PytorchReader, ReadsProtocolFour) {
  const TemporaryFolder folder;
  const auto short_text = [](std::string_view text) {
    return "\x8c" + le(text.size(), 1) + std::string(text) + "\x94";
  };
  const auto global = [&](std::string_view module, std::string_view name) {
    return short_text(module) + short_text(name) + "\x93\x94";
  };
  const std::string storage = "(" + short_text("storage") + global("torch", "FloatStorage") + short_text("0") +
                              short_text("cpu") + "K\x02t\x94Q";
  const std::string tensor = global("torch._utils", "_rebuild_tensor_v2") + "(" + storage + "K" + le(0, 1) +
                             "K\x01K\x02\x86\x94" + "M\x02" + le(0, 1) + "K\x01\x86\x94\x89" +
                             global("collections", "OrderedDict") + ")R\x94t\x94R\x94";
  const std::string body = "}\x94(" + short_text("w") + tensor + "u.";
  const Checkpoint checkpoint =
      open_pytorch(folder, pytorch_bytes("\x80\x04\x95" + le(body.size(), 8) + body, {"12345678"}));
  EXPECT_EQ(checkpoint.at("w").shape, (std::vector<std::int64_t>{1, 2}));
}

TEST(PytorchReader, ReadsShardsThroughAnIndex) {
  const TemporaryFolder folder;
  folder.write("pytorch_model-00001-of-00001.bin", pytorch_bytes(one_tensor(0, {2}, {1}), {"12345678"}));
  folder.write("pytorch_model.bin.index.json",
               R"({"metadata":{},"weight_map":{"w":"pytorch_model-00001-of-00001.bin"}})");
  EXPECT_EQ(Checkpoint::open(folder.path()).tensors().size(), 1u);
}

TEST(PytorchReader, IgnoresStridesOfSingleAndEmptyDimensions) {
  const TemporaryFolder folder;
  EXPECT_NO_THROW((void)open_pytorch(folder, pytorch_bytes(one_tensor(0, {1, 2}, {77, 1}), {"12345678"})));
  EXPECT_NO_THROW((void)open_pytorch(folder, pytorch_bytes(one_tensor(0, {0, 2}, {9, 9}), {"12345678"})));
}

TEST(PytorchReader, NeverRunsCode) {
  expect_pickle_refused(ErrorKind::unsupported, "\x80\x02" + p_global("os", "system") + "(" + p_text("true") + "tR.",
                        "this reader builds tensors only, it never runs code; found os.system");
  expect_pickle_refused(ErrorKind::unsupported, "\x80\x02}" + p_global("torch", "load") + "0.", "found torch.load");
  expect_pickle_refused(ErrorKind::unsupported, "\x80\x02i", "never runs code; found pickle opcode 0x69");
  expect_pickle_refused(ErrorKind::corrupt, "\x80\x02" + p_global("torch", "FloatStorage") + ")R.",
                        "nothing of this type is made by a call");
  expect_pickle_refused(ErrorKind::corrupt, "\x80\x02" + p_global("torch", "Tensor") + ")R.",
                        "nothing of this type is made by a call");
}

std::vector<float> floats_of(const TensorSlice& slice) {
  std::vector<float> values(slice.size());
  slice.read(values);
  return values;
}

TEST(PytorchReader, ReadsTensorsThatAreNotContiguous) {
  const TemporaryFolder folder;
  const std::vector<float> values = {0, 1, 2, 3, 4, 5, 6, 7};
  const std::string storage(reinterpret_cast<const char*>(values.data()), values.size() * sizeof(float));
  const auto read = [&](int offset, const std::vector<int>& size, const std::vector<int>& stride) {
    const std::string tensor = p_tensor(p_storage("FloatStorage", "0", 8), offset, size, stride);
    const Checkpoint checkpoint = open_pytorch(folder, pytorch_bytes(p_state_dict(p_text("w") + tensor), {storage}));
    const TensorSlice all = checkpoint.at("w").all();
    std::vector<float> parts;
    for (std::uint64_t i = 0; i < all.size(); ++i) parts.push_back(floats_of(all.part(i, 1)).front());
    EXPECT_EQ(floats_of(all), parts);
    return parts;
  };
  EXPECT_EQ(read(1, {2, 3}, {1, 2}), (std::vector<float>{1, 3, 5, 2, 4, 6}));        // transposed
  EXPECT_EQ(read(2, {3, 2}, {0, 1}), (std::vector<float>{2, 3, 2, 3, 2, 3}));        // expanded
  EXPECT_EQ(read(0, {2, 1, 2}, {4, 1 << 30, 1}), (std::vector<float>{0, 1, 4, 5}));  // some columns
  EXPECT_EQ(read(7, {2}, {0}), (std::vector<float>{7, 7}));
  EXPECT_TRUE(read(0, {2, 0}, {3, 5}).empty());
}

TEST(PytorchReader, RejectsStridesBeyondTheStorage) {
  expect_pickle_refused(ErrorKind::corrupt, one_tensor(0, {2, 2}, {1, 1}), "3 elements at 0 of 2");
  expect_pickle_refused(ErrorKind::corrupt, one_tensor(2, {2}, {0}), "1 elements at 2 of 2");
}

TEST(PytorchReader, RejectsTensorBeyondItsStorage) {
  expect_pickle_refused(ErrorKind::corrupt, one_tensor(1, {2}, {1}), "2 elements at 1 of 2");
  expect_pickle_refused(ErrorKind::corrupt, one_tensor(3, {0}, {1}), "must lie within its storage");
}

TEST(PytorchReader, RejectsSizeThatOverflows) {
  expect_pickle_refused(ErrorKind::corrupt, one_tensor(0, {1 << 30, 1 << 30, 1 << 30}, {1, 1, 1}), "fit in 64 bits");
}

TEST(PytorchReader, RejectsStorageThatIsTooShortOrMissing) {
  const auto with_storage = [](const std::string& storage) {
    return p_state_dict(p_text("w") + p_tensor(storage, 0, {2}, {1}));
  };
  expect_pickle_refused(ErrorKind::corrupt, with_storage(p_storage("FloatStorage", "0", 3)), "8 bytes for 3 of F32");
  expect_pickle_refused(ErrorKind::corrupt, with_storage(p_storage("FloatStorage", "7", 2)), "no storage \"7\"");
  expect_pickle_refused(ErrorKind::corrupt, with_storage(p_int(1)), "a tensor needs a storage");
  expect_pickle_refused(ErrorKind::corrupt, with_storage("(tQ"), "must describe a storage");
}

TEST(PytorchReader, RejectsEntriesThatAreNoTensors) {
  expect_pickle_refused(ErrorKind::unsupported, p_state_dict(p_int(3) + p_ordered_dict()), "a key that is no name");
  expect_pickle_refused(ErrorKind::unsupported, p_state_dict(p_text("model") + p_ordered_dict()), "\"model\"");
  expect_pickle_refused(ErrorKind::unsupported, "\x80\x02].", "dict of tensors");
}

TEST(PytorchReader, PassesOverNumbersAndTexts) {
  const TemporaryFolder folder;
  const std::string entries = p_text("epoch") + p_int(3) + p_text("name") + p_text("x") + p_text("none") + "N" +
                              p_text("w") + p_tensor(p_storage("FloatStorage", "0", 2), 0, {2}, {1});
  EXPECT_EQ(open_pytorch(folder, pytorch_bytes(p_state_dict(entries), {"12345678"})).tensors().size(), 1u);
}

TEST(PytorchReader, RejectsDuplicateNames) {
  const std::string entry = p_text("w") + p_tensor(p_storage("FloatStorage", "0", 2), 0, {2}, {1});
  expect_pickle_refused(ErrorKind::corrupt, p_state_dict(entry + entry), "every name must occur once");
}

TEST(PytorchReader, RejectsUnbalancedPickles) {
  expect_pickle_refused(ErrorKind::corrupt, "\x80\x02.", "an empty stack");
  expect_pickle_refused(ErrorKind::corrupt, "\x80\x02t.", "no mark");
  expect_pickle_refused(ErrorKind::corrupt, "\x80\x02}(\x85.", "an empty stack");
  expect_pickle_refused(ErrorKind::corrupt, "\x80\x02}(Nu.", "an odd number");
  expect_pickle_refused(ErrorKind::corrupt, "\x80\x02h\x01.", "must store what it recalls");
  expect_pickle_refused(ErrorKind::corrupt, "\x80\x02NNNs.", "only dicts take keys");
  expect_pickle_refused(ErrorKind::corrupt, "\x80\x02}", "must not end in the middle");
  expect_pickle_refused(ErrorKind::corrupt, "\x80\x02X" + le(0xffffffff, 4), "must not end in the middle");
  expect_pickle_refused(ErrorKind::corrupt,
                        "\x80\x02"
                        "cno line feed",
                        "must not end in the middle");
}

TEST(PytorchReader, RejectsOtherProtocols) {
  expect_pickle_refused(ErrorKind::unsupported, "\x80\x09}.", "protocols 2 to 5");
}

TEST(PytorchReader, SurvivesDeepNesting) {
  std::string deep = "\x80\x02)";
  deep.append(1'000'000, '\x85');
  expect_pickle_refused(ErrorKind::unsupported, deep + ".", "dict of tensors");
}

TEST(PytorchReader, ReadsIntegersOfEveryWidth) {
  const TemporaryFolder folder;
  const std::string tensor = p_global("torch._utils", "_rebuild_tensor_v2") + "(" + p_storage("FloatStorage", "0", 2) +
                             "\x8a" + le(0, 1) + "\x8a\x01\x02\x85" + "\x8a\x03" + le(1, 3) + "\x85tR";
  EXPECT_EQ(
      open_pytorch(folder, pytorch_bytes(p_state_dict(p_text("w") + tensor), {"12345678"})).at("w").element_count(), 2);
  const std::string negative = p_global("torch._utils", "_rebuild_tensor_v2") + "(" +
                               p_storage("FloatStorage", "0", 2) + "\x8a\x01\xff" + p_ints({2}) + p_ints({1}) + "tR";
  expect_pickle_refused(ErrorKind::corrupt, p_state_dict(p_text("w") + negative), "natural number as offset");
}

TEST(PytorchReader, ReadsTensorsWithAttributes) {
  const TemporaryFolder folder;
  const std::string arguments = "(" + p_storage("FloatStorage", "0", 2) + p_int(1) + p_global("torch", "Size") + "(" +
                                p_int(1) + "t\x85R" + p_ints({1}) + "\x89" + p_ordered_dict() + "t";
  const auto wrapped = [&](std::string_view function) {
    return p_state_dict(p_text("w") + p_global("torch._tensor", "_rebuild_from_type_v2") + "(" +
                        p_global("torch._utils", function) + p_global("torch.nn.parameter", "Parameter") + arguments +
                        "}tR");
  };
  const Checkpoint checkpoint = open_pytorch(folder, pytorch_bytes(wrapped("_rebuild_tensor_v2"), {"12345678"}));
  EXPECT_EQ(as_text(checkpoint.at("w").stored), "5678");
  expect_pickle_refused(ErrorKind::corrupt, wrapped("_rebuild_parameter"), "made by a function for tensors");
}

/// A tensor of the first format of all: no gradients, no hooks.
std::string old_tensor(std::string_view storage, int offset, int size) {
  return p_global("torch._utils", "_rebuild_tensor") + "(" + std::string(storage) + p_int(offset) + p_ints({size}) +
         p_ints({1}) + "tR";
}

TEST(LegacyPytorchReader, ReadsTensorsInPlace) {
  const TemporaryFolder folder;
  const std::string pickle =
      p_state_dict(p_text("b") + p_tensor(p_storage("FloatStorage", "94", 2), 0, {2, 1}, {1, 1}) + p_text("a") +
                   old_tensor(p_storage("HalfStorage", "17", 4), 1, 3));
  const std::string bytes = legacy_pytorch_bytes(pickle, {{"17", 4, "halfhalf"}, {"94", 2, "floats!!"}});
  const Checkpoint checkpoint = open_pytorch(folder, bytes);
  ASSERT_EQ(checkpoint.tensors().size(), 2u);
  EXPECT_EQ(checkpoint.at("a").dtype, Dtype::f16);
  EXPECT_EQ(as_text(checkpoint.at("a").stored), "lfhalf");
  EXPECT_EQ(checkpoint.at("b").shape, (std::vector<std::int64_t>{2, 1}));
  EXPECT_EQ(as_text(checkpoint.at("b").stored), "floats!!");
  EXPECT_EQ(bytes.substr(checkpoint.at("b").file_offset, 8), "floats!!");
}

std::string part_of_storage(int first, int count) {
  return "(" + p_text("storage") + p_global("torch", "FloatStorage") + p_text("0") + p_text("cpu") + p_int(4) + "(" +
         p_text("1") + p_int(first) + p_int(count) + "ttQ";
}

TEST(LegacyPytorchReader, ReadsAPartOfAStorage) {
  const TemporaryFolder folder;
  const auto file = [&](int first, int count, int offset, int size) {
    return legacy_pytorch_bytes(p_state_dict(p_text("w") + old_tensor(part_of_storage(first, count), offset, size)),
                                {{"0", 4, "aaaabbbbccccdddd"}});
  };
  EXPECT_EQ(as_text(open_pytorch(folder, file(1, 3, 1, 2)).at("w").stored), "ccccdddd");
  expect_refused(ErrorKind::corrupt, file(1, 3, 2, 2), "2 elements at 2 of 3");
  expect_refused(ErrorKind::corrupt, file(2, 3, 0, 1), "a part of a storage must lie within it");
}

TEST(LegacyPytorchReader, RejectsDamagedFiles) {
  const std::string pickle = p_state_dict(p_text("w") + old_tensor(p_storage("FloatStorage", "0", 2), 0, 2));
  const auto refused = [&](const std::vector<LegacyStorage>& storages, std::string_view part) {
    expect_refused(ErrorKind::corrupt, legacy_pytorch_bytes(pickle, storages), part);
  };
  refused({}, "the storage of a tensor must be in the file");
  refused({{"0", 2, "1234"}}, "must not end in the middle");
  refused({{"0", 1, "1234"}}, "4 bytes for 2 of F32");
  refused({{"0", std::uint64_t{1} << 62, ""}}, "must fit in 64 bits");
  refused({{"7", 1, "1234"}}, "must be one that a tensor uses");
  refused({{"0", 2, "12345678"}, {"0", 0, ""}}, "every storage must occur once");
  expect_refused(ErrorKind::unsupported, legacy_prelude(false), "only little-endian files");
}

TEST(PytorchReader, NamesOtherFiles) {
  expect_refused(ErrorKind::corrupt, "\x80\x02\x8a\x0al\xfc\x9c", "must not end in the middle");
  expect_refused(ErrorKind::unsupported, "\x80\x02}.", "must be one that torch.save wrote");
  expect_refused(ErrorKind::corrupt, "something else", "must be a zip archive or a pickle; found other content");
  expect_refused(ErrorKind::corrupt, "", "an empty file");
  expect_refused(ErrorKind::not_found, "version https://git-lfs.github.com/spec/v1\n", "git lfs pull");
}

TEST(PytorchReader, RecognisesTheContentWhateverTheName) {
  const TemporaryFolder folder;
  const auto file = folder.write("weights", pytorch_bytes(one_tensor(0, {2}, {1}), {"12345678"}));
  EXPECT_EQ(Checkpoint::open(file).format(), CheckpointFormat::pytorch);
}

TEST(ZipDirectory, RejectsCompressedAndEncryptedMembers) {
  expect_refused(ErrorKind::unsupported, zip_bytes({{"a/data.pkl", "x", 8}}), "\"a/data.pkl\" compressed");
  expect_refused(ErrorKind::unsupported, zip_bytes({{"a/data.pkl", "x", 0, 1}}), "\"a/data.pkl\" encrypted");
}

TEST(ZipDirectory, RejectsMembersWhoseDataBeginsElsewhere) {
  const std::string whole = pytorch_bytes(one_tensor(0, {2}, {1}), {"12345678"});
  const std::size_t name = whole.find("archive/data/0FB");
  const auto with = [&](std::size_t place, char byte) {
    std::string damaged = whole;
    damaged[place] = byte;
    return damaged;
  };
  // Before the name: how long it is, and how long the fields after it are.
  expect_refused(ErrorKind::corrupt, with(name - 4, 13),
                 "a member must have one name; found \"archive/data/0\" with two");
  expect_refused(ErrorKind::corrupt, with(name - 2, 6), "must not end in the middle");
  expect_refused(ErrorKind::corrupt, with(name + 16, 2), "must not end in the middle");
  expect_refused(ErrorKind::corrupt, with(name - 2, 0), "members must follow one another");
}

TEST(ZipDirectory, RejectsMissingAndAmbiguousPickles) {
  expect_refused(ErrorKind::corrupt, zip_bytes({{"a/x", "x"}}), "one data.pkl; found none");
  expect_refused(ErrorKind::corrupt, zip_bytes({{"a/data.pkl", "x"}, {"b/data.pkl", "x"}}),
                 "one data.pkl; found several");
  expect_refused(ErrorKind::corrupt, zip_bytes({{"a/data.pkl", "x"}, {"a/data.pkl", "x"}}),
                 "every member must occur once");
}

TEST(ZipDirectory, RejectsBigEndianFiles) {
  expect_refused(ErrorKind::unsupported, zip_bytes({{"a/data.pkl", "x"}, {"a/byteorder", "big"}}), "little-endian");
}

}  // namespace
}  // namespace qcqa
