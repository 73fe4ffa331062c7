chmod 700 tree; cd tree; tar --owner=7 --group=8 -cf ../a.tar .; cd ..; rm -r tree
