p=top; for i in $(seq 60); do p=$p/d$i; done; mkdir -p $p; echo bottom > $p/f; echo x > top/d1/d2/d3/f
