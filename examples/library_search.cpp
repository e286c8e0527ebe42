// What `qcqa search` and `qcqa convert` do, as a program of your own:
//
//   library_search MODEL OUT     halves the KV cache of MODEL with the best equal groups
#include <cstdio>
#include <deque>
#include <exception>
#include <vector>

#include "qcqa/export/export.hpp"
#include "qcqa/fitness/head_gram.hpp"
#include "qcqa/model/model.hpp"
#include "qcqa/search/model_search.hpp"
#include "qcqa/search/plan_choice.hpp"

int main(int argc, char** argv) {
  if (argc != 3) {
    std::fprintf(stderr, "usage: library_search MODEL OUT\n");
    return 2;
  }
  try {
    const qcqa::Model model = qcqa::Model::open(argv[1]);

    // A group cost per layer: here the weight-sharing error, but the search takes any qcqa::GroupCost.
    std::deque<qcqa::PairwiseCost> costs;
    std::vector<const qcqa::GroupCost*> pointers;
    for (const qcqa::AttentionLayer& layer : model.layers()) {
      costs.push_back(qcqa::wse_cost(qcqa::compute_head_gram(layer)));
      pointers.push_back(&costs.back());
    }

    const qcqa::SearchResult result = qcqa::ModelSearch(pointers, {}).run();
    const qcqa::Plan plan = qcqa::plan_for_fraction(result, model.total_kv_heads(), 0.5, qcqa::PlanLimits::uniform());
    const qcqa::ExportSummary summary = qcqa::export_model(model, plan, {}, argv[2], qcqa::Overwrite::refuse);
    std::printf("%d KV heads -> %d, weight-sharing error %.5g\n", summary.heads_before, summary.heads_after, plan.cost);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "%s\n", error.what());
    return 1;
  }
}
