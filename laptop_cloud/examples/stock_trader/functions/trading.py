"""The three steps of the stock trader. A price is an integer from 0 to 100."""

import os
import random


def check_price(event, context):
    """Return the price in the event or a random one, and the price above which to sell."""
    return {"price": event.get("price", random.randint(0, 100)), "limit": int(os.environ["PRICE_LIMIT"])}


def sell(event, context):
    """Sell more shares at a higher price."""
    return _trade("sell", event["price"], 1 + event["price"] // 10, context)


def buy(event, context):
    """Buy more shares at a lower price."""
    return _trade("buy", event["price"], 11 - event["price"] // 10, context)


def _trade(side, price, shares, context):
    return {"id": context.aws_request_id, "side": side, "price": str(price), "shares": str(shares)}
