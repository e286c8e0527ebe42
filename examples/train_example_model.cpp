// Trains the example model of examples/model from nothing: writes the stories, learns the
// tokenizer, trains a four-layer multi-head Llama on the stories and stores all as a Hugging Face
// folder.

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <exception>
#include <filesystem>
#include <memory>
#include <numbers>
#include <string>
#include <vector>

#include <torch/torch.h>
#include <CLI/CLI.hpp>

#include "byte_level_bpe.hpp"
#include "little_language.hpp"
#include "model_folder.hpp"
#include "pooling_check.hpp"
#include "tiny_llama.hpp"

namespace {

using namespace qcqa::examples;

struct Options {
  std::filesystem::path output;  ///< folder to write
  std::int64_t steps = 1200;     ///< optimiser steps
  std::uint64_t seed = 1;        ///< of stories and of initial weights
  int threads = 2;               ///< changes the order of sums, so part of what is reproducible
  std::int64_t rows = 16;        ///< rows of 129 tokens per step
  double learning_rate = 3e-3;   ///< peak, after the warmup
  std::int64_t warmup = 60;      ///< steps
  double weight_decay = 0.1;     ///< of matrices; norms are not decayed
};

constexpr std::size_t kTokenizerStories = 4000;
constexpr std::size_t kSampleStories = 100;
constexpr std::int64_t kHeldOutRows = 64;
// Streams of stories besides the training stream; any numbers far from small seeds will do.
constexpr std::uint64_t kHeldOutSeed = 0x9E3779B97F4A7C15;
constexpr std::uint64_t kTokenizerSeed = 0xBF58476D1CE4E5B9;

/// Rows of whole stories, each `<s> story </s>`, the last one cut: the first token of a row is
/// always
/// `<s>`, as it is when the model is used.
torch::Tensor story_rows(LittleLanguage& language, ByteLevelBpe& tokenizer, std::int64_t rows, std::int64_t length) {
  torch::Tensor result = torch::empty({rows, length}, torch::kInt64);
  std::int64_t* out = result.data_ptr<std::int64_t>();
  for (std::int64_t row = 0; row < rows; ++row) {
    std::vector<std::int64_t> ids;
    while (static_cast<std::int64_t>(ids.size()) < length) {
      ids.push_back(ByteLevelBpe::kBos);
      const std::vector<std::int64_t> story = tokenizer.encode(language.next_story());
      ids.insert(ids.end(), story.begin(), story.end());
      ids.push_back(ByteLevelBpe::kEos);
    }
    out = std::copy_n(ids.begin(), length, out);
  }
  return result;
}

std::vector<std::string> stories(std::uint64_t seed, std::size_t count) {
  LittleLanguage language(seed);
  std::vector<std::string> result(count);
  std::ranges::generate(result, [&] { return language.next_story(); });
  return result;
}

/// Linear warmup, then half a cosine down to a tenth.
double learning_rate(const Options& options, std::int64_t step) {
  if (step < options.warmup) {
    return options.learning_rate * static_cast<double>(step + 1) / static_cast<double>(options.warmup);
  }
  const double done = static_cast<double>(step - options.warmup) /
                      static_cast<double>(std::max<std::int64_t>(1, options.steps - options.warmup));
  return options.learning_rate * (0.1 + 0.45 * (1.0 + std::cos(std::numbers::pi * done)));
}

torch::optim::AdamW make_optimizer(const TinyLlama& model, const Options& options) {
  std::vector<torch::Tensor> matrices;
  std::vector<torch::Tensor> norms;
  for (const auto& [name, weight] : model.weights()) {
    (weight.dim() == 2 ? matrices : norms).push_back(weight);
  }
  const auto settings = [&](double weight_decay) {
    return std::make_unique<torch::optim::AdamWOptions>(
        torch::optim::AdamWOptions(options.learning_rate).betas({0.9, 0.98}).weight_decay(weight_decay));
  };
  std::vector<torch::optim::OptimizerParamGroup> groups;
  groups.emplace_back(matrices, settings(options.weight_decay));
  groups.emplace_back(norms, settings(0.0));
  return torch::optim::AdamW(groups, torch::optim::AdamWOptions(options.learning_rate));
}

void train(const TinyLlama& model, ByteLevelBpe& tokenizer, const torch::Tensor& held_out, const Options& options) {
  LittleLanguage language(options.seed);
  torch::optim::AdamW optimizer = make_optimizer(model, options);
  std::vector<torch::Tensor> weights;
  for (const auto& entry : model.weights()) weights.push_back(entry.second);
  const auto start = std::chrono::steady_clock::now();
  for (std::int64_t step = 0; step < options.steps; ++step) {
    for (auto& group : optimizer.param_groups()) {
      static_cast<torch::optim::AdamWOptions&>(group.options()).lr(learning_rate(options, step));
    }
    const torch::Tensor loss = model.loss(story_rows(language, tokenizer, options.rows, model.shape().positions + 1));
    optimizer.zero_grad();
    loss.backward();
    torch::nn::utils::clip_grad_norm_(weights, 1.0);
    optimizer.step();
    if (step % 100 == 0 || step + 1 == options.steps) {
      const std::chrono::duration<double> passed = std::chrono::steady_clock::now() - start;
      std::printf("step %5lld  loss %.4f  held-out %.4f  %4.0f s\n", static_cast<long long>(step), loss.item<double>(),
                  held_out_loss(model, held_out), passed.count());
      std::fflush(stdout);
    }
  }
}

void run(const Options& options) {
  at::set_num_threads(options.threads);
  torch::manual_seed(options.seed);

  ByteLevelBpe tokenizer(stories(kTokenizerSeed, kTokenizerStories), TinyLlamaShape{}.vocabulary);
  TinyLlamaShape shape;
  shape.vocabulary = static_cast<std::int64_t>(tokenizer.vocabulary_size());
  const TinyLlama model(shape);
  LittleLanguage held_out_language(kHeldOutSeed);
  const torch::Tensor held_out = story_rows(held_out_language, tokenizer, kHeldOutRows, shape.positions + 1);

  train(model, tokenizer, held_out, options);
  save_model(options.output, model, tokenizer);
  save_stories(options.output / "sample.jsonl", stories(kHeldOutSeed, kSampleStories));

  std::printf("\nKV heads mean-pooled in pairs, held-out stories:\n");
  for (const PoolingResult& result : check_pooling(model, held_out, 8, options.seed)) {
    std::printf("%-12s  weight-sharing error %9.2f  loss %.4f  perplexity %8.3f\n", result.name.c_str(),
                result.weight_error, result.loss, std::exp(result.loss));
  }
}

}  // namespace

int main(int argc, char** argv) {
  Options options;
  CLI::App app("Trains the example model: a tiny Llama on a little language.");
  app.option_defaults()->always_capture_default();
  app.add_option("-o,--output", options.output, "Folder to write")->required();
  app.add_option("--steps", options.steps, "Optimiser steps")->check(CLI::PositiveNumber);
  app.add_option("--seed", options.seed, "Seed of stories and initial weights");
  app.add_option("--threads", options.threads, "Threads")->check(CLI::PositiveNumber);
  app.add_option("--rows", options.rows, "Rows of 128 tokens per step")->check(CLI::PositiveNumber);
  app.add_option("--learning-rate", options.learning_rate, "Peak")->check(CLI::PositiveNumber);
  app.add_option("--weight-decay", options.weight_decay, "Decay")->check(CLI::NonNegativeNumber);
  CLI11_PARSE(app, argc, argv);
  try {
    run(options);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "train_example_model: error: %s\n", error.what());
    return 2;
  }
  return 0;
}
