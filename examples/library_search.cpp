// What `qcqa run` does, as a program of your own:
//
//   library_search MODEL OUT     halves the KV cache of MODEL with the best groups and the aligned merge
#include <cstdio>
#include <exception>

#include "qcqa/pipeline/conversion.hpp"

int main(int argc, char** argv) {
  if (argc != 3) {
    std::fprintf(stderr, "usage: library_search MODEL OUT\n");
    return 2;
  }
  try {
    const qcqa::Model model = qcqa::Model::open(argv[1]);

    qcqa::ConversionSettings settings;
    settings.plan.kv = 0.5;
    settings.merge.kind = qcqa::MergeKind::aligned;
    settings.output.folder = argv[2];

    qcqa::Session session;
    session.note = [](const std::string& text) { std::fprintf(stderr, "%s\n", text.c_str()); };

    // qcqa::run() takes all steps; one by one they let a program look at the plan before it is merged.
    qcqa::Conversion conversion(model, settings, session);
    const qcqa::Plan plan = *conversion.plan().plan;
    (void)conversion.merge();
    const qcqa::ExportSummary summary = conversion.write();
    conversion.finish();
    std::printf("%d KV heads -> %d, cost %.5g (%s)\n", summary.heads_before, summary.heads_after, plan.cost,
                plan.origin.c_str());
  } catch (const std::exception& error) {
    std::fprintf(stderr, "%s\n", error.what());
    return 1;
  }
}
