"""Six libraries are imported, none is used: what it costs an agent to get ready for them."""

import flask
import httpx
import psycopg
import redis
import requests
import sqlalchemy

print(flask, httpx, psycopg, redis, requests, sqlalchemy)
