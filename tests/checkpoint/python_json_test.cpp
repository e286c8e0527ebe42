#include "checkpoint/python_json.hpp"

#include <gtest/gtest.h>
#include <cmath>

namespace qcqa {
namespace {

TEST(PythonJson, ReadsWhatIsNotFinite) {
  const nlohmann::json document = parse_python_json(R"({"a":[NaN, Infinity,-Infinity , 1e999, -1e999, 1e-999]})");
  const auto& values = document.at("a");
  EXPECT_TRUE(std::isnan(values[0].get<double>()));
  EXPECT_EQ(values[1].get<double>(), HUGE_VAL);
  EXPECT_EQ(values[2].get<double>(), -HUGE_VAL);
  EXPECT_EQ(values[3].get<double>(), HUGE_VAL);
  EXPECT_EQ(values[4].get<double>(), -HUGE_VAL);
  EXPECT_EQ(values[5].get<double>(), 0);
}

TEST(PythonJson, LeavesStringsAlone) {
  const nlohmann::json document = parse_python_json(R"({"NaN":"Infinity \" NaN","b":"\\","c":-1})");
  EXPECT_EQ(document.at("NaN"), "Infinity \" NaN");
  EXPECT_EQ(document.at("b"), "\\");
  EXPECT_EQ(document.at("c"), -1);
}

TEST(PythonJson, PassesOverAByteOrderMark) { EXPECT_EQ(parse_python_json("\xef\xbb\xbf[1]").size(), 1u); }

TEST(PythonJson, RefusesWhatIsNoJson) {
  for (const char* text :
       {"", "{", "nan", "infinity", "[Na]", "[NaN", "\"Na", "[1 NaN]", "+Infinity", "\xef\xbb", "[\"\\", "-"}) {
    EXPECT_THROW((void)parse_python_json(text), nlohmann::json::exception) << text;
  }
}

TEST(PythonJson, WritesWhatItReads) {
  const std::string text = R"({"z":NaN,"a":[0.5,-Infinity,Infinity,"NaN",null],"i":7})";
  EXPECT_EQ(dump_python_json(parse_ordered_python_json(text), -1), text);
}

TEST(PythonJson, SurvivesDeepNesting) {
  const std::string deep = std::string(100'000, '[') + "NaN" + std::string(100'000, ']');
  EXPECT_EQ(dump_python_json(nlohmann::ordered_json{{"a", NAN}}, -1), R"({"a":NaN})");
  EXPECT_EQ(parse_python_json(deep).size(), 1u);
  EXPECT_EQ(json_depth(deep), 100'000U);
}

TEST(PythonJson, DepthCountsWhatIsOpenAtOnce) {
  EXPECT_EQ(json_depth("1"), 0U);
  EXPECT_EQ(json_depth(R"([{"a": [1], "b": []}, [], {}])"), 3U);
  EXPECT_EQ(json_depth(R"(["[[[\"[[", "\\", [1]])"), 2U);
  EXPECT_EQ(json_depth("]]}[["), 2U);
}

}  // namespace
}  // namespace qcqa
