echo not compressed > text.tar.gz; echo t | gzip -n > text.gz; echo t | bzip2 > text.bz2; echo t | xz > text.xz; echo text > text.tar; printf "\x1f\x8b" > short.gz
