mkdir tree; for i in $(seq 700); do echo $i > tree/$i; done
