"""Side-by-side measurements: what a claim about speed or memory in the README comes from.

python -m benchmarks.encoders     our encoders beside transformers' wav2vec2 of the same shape
python -m benchmarks.paper_size   optimisation steps of recipes/emodb-paper.toml, float32 beside bf16
"""
