"""What binanceusdm, bybit and okx say about one perpetual, BTCUSDT, in their own words. For `exchange_server`."""

from __future__ import annotations

import time
from typing import Any

Json = dict[str, Any]
Messages = list[tuple[str, Json]]

BIDS = {"61800.20": "0.250", "61800.10": "3.000", "61799.00": "1.5"}
ASKS = {"61800.30": "1.500", "61800.40": "2", "61801.00": "0.7"}


class Speaker:
    """The market as one exchange sees it. `ahead_ms` is how far its clock is ahead of ours."""

    tick_size = "0.10"
    lot_step = "0.001"

    def __init__(self) -> None:
        self.bids = dict(BIDS)
        self.asks = dict(ASKS)
        self.sequence = 1_000
        self.prints = 500
        self.mark_price = "61800.25"
        self.rate = "0.00010000"
        self.ahead_ms = 0
        self.settled: list[tuple[int, str, str]] = []  # instant in ms, rate, mark price; oldest first

    def now_ms(self) -> int:
        return int(time.time() * 1_000) + self.ahead_ms

    def settlement_ms(self) -> int:
        return (self.now_ms() // 28_800_000 + 1) * 28_800_000

    def move(self, bids: dict[str, str], asks: dict[str, str]) -> None:
        for side, changes in ((self.bids, bids), (self.asks, asks)):
            for price, quantity in changes.items():
                side[price] = quantity
                if not float(quantity):
                    del side[price]

    def skip(self) -> None:
        """A change that nobody is told: the next one leaves a gap in the sequence."""
        self.sequence += 10

    def rest(self, path: str, query: dict[str, str]) -> Any:
        raise NotImplementedError

    def pong(self, text: str) -> str | None:
        return None

    def subscribed(self, request: Json) -> tuple[list[str], list[Json]]:
        raise NotImplementedError

    def change(self, bids: dict[str, str], asks: dict[str, str]) -> Messages:
        raise NotImplementedError

    def trade(self, price: str, quantity: str, side: str, **fields: Any) -> Messages:
        raise NotImplementedError

    def mark(self, price: str, rate: str | None) -> Messages:
        raise NotImplementedError


class Binance(Speaker):
    """USD-M futures: the book's snapshot comes by REST, diffs name the one before (`pu`)."""

    interval_hours = 4

    def rest(self, path: str, query: dict[str, str]) -> Any:
        if path.endswith("/exchangeInfo"):
            return {"timezone": "UTC", "serverTime": self.now_ms(), "symbols": [self._symbol()]}
        if path.endswith("/depth"):
            return {"lastUpdateId": self.sequence, "E": self.now_ms(), "T": self.now_ms(), **self._levels()}
        if path.endswith("/fundingRate"):
            return [{"symbol": "BTCUSDT", "fundingTime": at_ms + 3, "fundingRate": rate, "markPrice": mark}
                    for at_ms, rate, mark in self.settled]  # fmt: skip
        if path.endswith("/fundingInfo"):
            return [{"symbol": "BTCUSDT", "adjustedFundingRateCap": "0.02", "adjustedFundingRateFloor": "-0.02",
                     "fundingIntervalHours": self.interval_hours, "disclaimer": False}]  # fmt: skip
        if path.endswith("/premiumIndex"):
            return {"symbol": "BTCUSDT", "markPrice": self.mark_price, "indexPrice": "61790.1", "lastFundingRate":
                    self.rate, "nextFundingTime": self.settlement_ms(), "time": self.now_ms()}  # fmt: skip
        return {"serverTime": self.now_ms()} if path.endswith("/time") else None

    def subscribed(self, request: Json) -> tuple[list[str], list[Json]]:
        return request["params"], [{"result": None, "id": request["id"]}]

    def change(self, bids: dict[str, str], asks: dict[str, str]) -> Messages:
        self.move(bids, asks)
        before, self.sequence = self.sequence, self.sequence + 3
        diff = {"e": "depthUpdate", "E": self.now_ms(), "T": self.now_ms(), "s": "BTCUSDT", "U": before + 1,
                "u": self.sequence, "pu": before, "b": _pairs(bids), "a": _pairs(asks)}  # fmt: skip
        return [("btcusdt@depth@100ms", diff)]

    def trade(self, price: str, quantity: str, side: str, **fields: Any) -> Messages:
        self.prints += 1
        message = {"e": "trade", "E": self.now_ms(), "T": self.now_ms(), "s": "BTCUSDT", "t": self.prints, "p": price,
                   "q": quantity, "X": "MARKET", "m": side == "sell", **fields}  # fmt: skip
        return [("btcusdt@trade", message)]

    def mark(self, price: str, rate: str | None) -> Messages:
        self.mark_price, self.rate = price, rate or self.rate
        message = {"e": "markPriceUpdate", "E": self.now_ms(), "s": "BTCUSDT", "p": price, "ap": price,
                   "i": "61790.10000000", "P": "61791.0", "r": self.rate, "T": self.settlement_ms()}  # fmt: skip
        return [("btcusdt@markPrice@1s", message)]

    def _levels(self) -> Json:
        return {"bids": _pairs(self.bids), "asks": _pairs(self.asks)}

    def _symbol(self) -> Json:
        return {
            "symbol": "BTCUSDT", "pair": "BTCUSDT", "contractType": "PERPETUAL", "deliveryDate": 4133404800000,
            "onboardDate": 1569398400000, "status": "TRADING", "baseAsset": "BTC", "quoteAsset": "USDT",
            "marginAsset": "USDT", "pricePrecision": 2, "quantityPrecision": 3, "baseAssetPrecision": 8,
            "quotePrecision": 8, "underlyingType": "COIN", "orderTypes": ["LIMIT", "MARKET"], "timeInForce": ["GTC"],
            "filters": [
                {"filterType": "PRICE_FILTER", "minPrice": "556.80", "maxPrice": "4529764", "tickSize": self.tick_size},
                {"filterType": "LOT_SIZE", "stepSize": self.lot_step, "maxQty": "1000", "minQty": "0.001"},
                {"filterType": "MARKET_LOT_SIZE", "stepSize": "0.001", "maxQty": "120", "minQty": "0.001"},
                {"filterType": "MIN_NOTIONAL", "notional": "100"},
            ],
        }  # fmt: skip


class Bybit(Speaker):
    """V5 linear: everything over one connection, book and ticker as snapshot and delta, print ids are UUIDs."""

    def rest(self, path: str, query: dict[str, str]) -> Any:
        if path.endswith("/instruments-info"):
            listed = [] if query.get("status") == "PreLaunch" else [self._symbol()]
            return self._result({"category": query["category"], "list": listed, "nextPageCursor": ""})
        if path.endswith("/time"):
            return self._result({"timeSecond": str(self.now_ms() // 1000), "timeNano": str(self.now_ms() * 1_000_000)})
        if path.endswith("/tickers"):
            return self._result({"category": "linear", "list": [self._ticker()]})
        if path.endswith("/funding/history"):
            rows = [{"symbol": "BTCUSDT", "fundingRate": rate, "fundingRateTimestamp": str(at_ms)}
                    for at_ms, rate, _ in reversed(self.settled)]  # fmt: skip
            return self._result({"category": "linear", "list": rows})
        if path.endswith("/mark-price-kline"):
            candles = [[str(at_ms), mark, "70000", "50000", "60000"] for at_ms, _, mark in reversed(self.settled)]
            return self._result({"symbol": "BTCUSDT", "category": "linear", "list": candles})
        return None

    def pong(self, text: str) -> str | None:
        return '{"success":true,"ret_msg":"pong","conn_id":"c1","req_id":"1","op":"ping"}' if '"ping"' in text else None

    def subscribed(self, request: Json) -> tuple[list[str], list[Json]]:
        answers = [{"success": True, "ret_msg": "", "conn_id": "c1", "req_id": request["req_id"], "op": "subscribe"}]
        for topic in request["args"]:
            if topic.startswith("orderbook"):
                answers.append(self._book(topic, "snapshot", self.bids, self.asks))
            if topic.startswith("tickers"):
                answers.append(self._tickers("snapshot", self._ticker()))
        return request["args"], answers

    def change(self, bids: dict[str, str], asks: dict[str, str]) -> Messages:
        self.move(bids, asks)
        self.sequence += 1
        topics = [f"orderbook.{depth}.BTCUSDT" for depth in (50, 200, 500, 1000)]
        return [(topic, self._book(topic, "delta", bids, asks)) for topic in topics]

    def trade(self, price: str, quantity: str, side: str, **fields: Any) -> Messages:
        self.prints += 1
        uuid = f"{(self.prints * 7_919) % 1_000:08x}-d8dd-5b31-9112-a178eb6023af"  # a later one may be smaller
        printed = {"T": self.now_ms(), "s": "BTCUSDT", "S": side.capitalize(), "v": quantity, "p": price,
                   "L": "PlusTick", "i": uuid, "BT": False, **fields}  # fmt: skip
        topic = "publicTrade.BTCUSDT"
        return [(topic, {"topic": topic, "type": "snapshot", "ts": self.now_ms(), "data": [printed]})]

    def mark(self, price: str, rate: str | None) -> Messages:
        self.mark_price, self.rate = price, rate or self.rate
        changed = {"symbol": "BTCUSDT", "markPrice": price} | ({"fundingRate": rate} if rate else {})
        return [("tickers.BTCUSDT", self._tickers("delta", changed))]

    def _book(self, topic: str, kind: str, bids: dict[str, str], asks: dict[str, str]) -> Json:
        content = {"s": "BTCUSDT", "b": _pairs(bids), "a": _pairs(asks), "u": self.sequence, "seq": self.sequence * 9}
        return {"topic": topic, "type": kind, "ts": self.now_ms(), "cts": self.now_ms(), "data": content}

    def _tickers(self, kind: str, content: Json) -> Json:
        return {"topic": "tickers.BTCUSDT", "type": kind, "data": content, "cs": 24987956059, "ts": self.now_ms()}

    def _ticker(self) -> Json:
        return {
            "symbol": "BTCUSDT", "tickDirection": "PlusTick", "price24hPcnt": "0.017103", "lastPrice": "61800.20",
            "prevPrice24h": "60926.50", "highPrice24h": "62281.50", "lowPrice24h": "60915.00",
            "prevPrice1h": "61738.00", "markPrice": self.mark_price, "indexPrice": "61799.36",
            "openInterest": "68744.761", "openInterestValue": "1183601235.91", "turnover24h": "1570383121.943499",
            "volume24h": "91705.276", "nextFundingTime": str(self.settlement_ms()), "fundingRate": self.rate,
            "bid1Price": "61800.20", "bid1Size": "0.250", "ask1Price": "61800.30", "ask1Size": "1.500",
        }  # fmt: skip

    def _symbol(self) -> Json:
        return {
            "symbol": "BTCUSDT", "contractType": "LinearPerpetual", "status": "Trading", "baseCoin": "BTC",
            "quoteCoin": "USDT", "settleCoin": "USDT", "launchTime": "1585526400000", "deliveryTime": "0",
            "deliveryFeeRate": "", "priceScale": "2", "unifiedMarginTrade": True, "fundingInterval": 480,
            "leverageFilter": {"minLeverage": "1", "maxLeverage": "100.00", "leverageStep": "0.01"},
            "priceFilter": {"minPrice": "0.10", "maxPrice": "1999999.80", "tickSize": self.tick_size},
            "lotSizeFilter": {"maxOrderQty": "1190", "minOrderQty": "0.001", "qtyStep": self.lot_step,
                              "postOnlyMaxOrderQty": "1190", "maxMktOrderQty": "500", "minNotionalValue": "5"},
        }  # fmt: skip

    def _result(self, result: Json) -> Json:
        return {"retCode": 0, "retMsg": "OK", "result": result, "retExtInfo": {}, "time": self.now_ms()}


class Okx(Speaker):
    """V5 swap: amounts are contracts of 0.01 BTC, the book names the sequence before, ping is a bare word."""

    tick_size = "0.1"
    lot_step = "0.1"  # contracts

    def rest(self, path: str, query: dict[str, str]) -> Any:
        if path.endswith("/instruments"):
            return {"code": "0", "msg": "", "data": [self._symbol()]}
        if path.endswith("/funding-rate"):
            return {"code": "0", "msg": "", "data": [self._funding()]}
        if path.endswith("/funding-rate-history"):
            rows = [{"instType": "SWAP", "instId": "BTC-USDT-SWAP", "fundingRate": "0.9", "realizedRate": rate,
                     "fundingTime": str(at_ms), "method": "current_period"}
                    for at_ms, rate, _ in reversed(self.settled)]  # fmt: skip
            return {"code": "0", "msg": "", "data": rows}
        if path.endswith("/mark-price-candles"):
            candles = [[str(at_ms), mark, "70000", "50000", "60000", "1"] for at_ms, _, mark in reversed(self.settled)]
            return {"code": "0", "msg": "", "data": candles}
        return {"code": "0", "msg": "", "data": [{"ts": str(self.now_ms())}]} if path.endswith("/time") else None

    def pong(self, text: str) -> str | None:
        return "pong" if text == "ping" else None

    def subscribed(self, request: Json) -> tuple[list[str], list[Json]]:
        answers: list[Json] = []
        for argument in request["args"]:
            answers.append({"event": "subscribe", "arg": argument, "connId": "a4d3ae55"})
            if argument["channel"] == "books":
                answers.append(self._book("snapshot", self.bids, self.asks, -1))
            if argument["channel"] == "funding-rate":
                answers.append(self._data("funding-rate", self._funding()))
        return [argument["channel"] for argument in request["args"]], answers

    def change(self, bids: dict[str, str], asks: dict[str, str]) -> Messages:
        self.move(bids, asks)
        before, self.sequence = self.sequence, self.sequence + 4
        return [("books", self._book("update", bids, asks, before))]

    def skip(self) -> None:
        self.sequence += 10

    def trade(self, price: str, quantity: str, side: str, **fields: Any) -> Messages:
        self.prints += 1
        printed = {"instId": "BTC-USDT-SWAP", "tradeId": str(self.prints), "px": price, "sz": quantity, "side": side,
                   "ts": str(self.now_ms()), "count": "1", **fields}  # fmt: skip
        return [("trades", self._data("trades", printed))]

    def mark(self, price: str, rate: str | None) -> Messages:
        self.mark_price, self.rate = price, rate or self.rate
        mark = {"instType": "SWAP", "instId": "BTC-USDT-SWAP", "markPx": price, "ts": str(self.now_ms())}
        messages = [("mark-price", self._data("mark-price", mark))]
        return messages + ([("funding-rate", self._data("funding-rate", self._funding()))] if rate else [])

    def _book(self, action: str, bids: dict[str, str], asks: dict[str, str], before: int) -> Json:
        content = {"asks": [[*pair, "0", "1"] for pair in _pairs(asks)], "bids": [[*pair, "0", "1"] for pair in
                   _pairs(bids)], "ts": str(self.now_ms()), "checksum": 0, "seqId": self.sequence,
                   "prevSeqId": before}  # fmt: skip
        return {"action": action, **self._data("books", content)}

    def _data(self, channel: str, content: Json) -> Json:
        return {"arg": {"channel": channel, "instId": "BTC-USDT-SWAP"}, "data": [content]}

    def _funding(self) -> Json:
        return {"fundingRate": self.rate, "fundingTime": str(self.settlement_ms()), "instId": "BTC-USDT-SWAP",
                "instType": "SWAP", "method": "current_period", "nextFundingRate": "", "nextFundingTime":
                str(self.settlement_ms() + 28_800_000), "settState": "settled", "ts": str(self.now_ms())}  # fmt: skip

    def _symbol(self) -> Json:
        return {
            "instId": "BTC-USDT-SWAP", "instType": "SWAP", "uly": "BTC-USDT", "instFamily": "BTC-USDT", "ctType":
            "linear", "ctVal": "0.01", "ctValCcy": "BTC", "ctMult": "1", "settleCcy": "USDT", "baseCcy": "",
            "quoteCcy": "", "tickSz": self.tick_size, "lotSz": self.lot_step, "minSz": "0.1", "state": "live",
            "lever": "100", "listTime": "1573557408000", "expTime": "", "alias": "", "category": "1", "stk": "",
            "optType": "", "maxLmtSz": "100000000", "maxMktSz": "35000",
        }  # fmt: skip


SPEAKERS: dict[str, type[Speaker]] = {"binanceusdm": Binance, "bybit": Bybit, "okx": Okx}


def _pairs(side: dict[str, str]) -> list[list[str]]:
    return [[price, quantity] for price, quantity in side.items()]
