head -c 20480 /dev/zero > zeros
