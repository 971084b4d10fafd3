"""`make bench`: every measurement that needs no corpus, one after the other."""

from benchmarks import encoders, pretrain

if __name__ == "__main__":
    encoders.main([])
    pretrain.main([])
