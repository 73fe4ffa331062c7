ln -s f tree/l; ln tree/f tree/hard
