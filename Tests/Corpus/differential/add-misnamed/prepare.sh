for c in gzip:one bzip2:two xz:three.txt; do echo ${c%:*} > f-${c%:*}; tar --owner=0 --group=0 -c f-${c%:*} | ${c%:*} > ${c#*:}; done
