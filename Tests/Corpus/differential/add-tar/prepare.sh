mkdir -p t/s && echo f > t/f && ln -s f t/l && ln t/f t/h && chmod 2775 t/s && chmod 4711 t/f
tar --owner=11 --group=12 -cf a.tar t
rm -r t
