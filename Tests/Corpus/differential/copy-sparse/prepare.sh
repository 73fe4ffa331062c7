truncate -s 5M s; printf x | dd of=s bs=1 seek=3000000 conv=notrunc status=none; mkdir tree; truncate -s 1M tree/hole
