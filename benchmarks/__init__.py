"""Side-by-side measurements: what a claim about speed, memory or quality comes from.

python -m benchmarks.encoders      our encoders beside transformers' wav2vec2 of the same shape
python -m benchmarks.pretrain      a step of pretraining beside transformers' own
python -m benchmarks.paper_size    optimisation steps of recipes/emodb-paper.toml, float32 beside bf16
python -m benchmarks.probes        linear readouts of frozen encoders
python -m benchmarks.quality       the recipe best-compact beside openSMILE + SVM, on any manifest
python -m benchmarks.adaptation    how many recordings of a voice adaptation needs
python -m benchmarks.cross_corpus  a model on a corpus that it never saw
"""
