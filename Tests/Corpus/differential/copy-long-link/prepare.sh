mkdir tree; ln -s $(printf 'x%.0s' $(seq 200))/$(printf 'y%.0s' $(seq 200)) tree/l; touch tree/$(printf 'z%.0s' $(seq 255))
