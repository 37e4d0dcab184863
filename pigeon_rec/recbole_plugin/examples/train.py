"""RecBole's own steps with the wrapper: run `python train.py` beside `dataset/stickers`."""

from recbole.config import Config
from recbole.data import create_dataset, data_preparation
from recbole.trainer import Trainer
from recbole.utils import init_seed

from pigeon_rec.recbole_plugin import PigeonRecommender

config = Config(model=PigeonRecommender, dataset="stickers", config_file_list=["stickers.yaml"])
init_seed(config["seed"], config["reproducibility"])
train, valid, test = data_preparation(config, create_dataset(config))
model = PigeonRecommender(config, train.dataset).to(config["device"])
trainer = Trainer(config, model)
trainer.fit(train, valid)
print(trainer.evaluate(test))
